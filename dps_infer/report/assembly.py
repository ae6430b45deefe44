"""The page: its template, style and scripts from ``page/``, and the data as one JSON island.

Nothing in it may be loaded from anywhere, and no script may run but its own: the policy
in its head names them by their hashes. Data reach it in two ways only, both here: the title
escaped as HTML, and the island, in which JSON escapes ``<`` and whatever is not ASCII.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dps_infer
from dps_infer.compare.metric import Metric
from dps_infer.report.examples import Example
from dps_infer.report.maps import HeatMap, along, colour_table
from dps_infer.report.pictures import Embedded, data_url, shrink
from dps_infer.report.rows import Measured, Results
from dps_infer.show.heatmap import DENSEST, LEGEND_END, TICKS

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("base.js", "model.js", "overview.js", "table.js", "viewer.js", "main.js")
EXAMPLE_SIDE = 128


@dataclass(frozen=True, eq=False)
class Content:
    """All that goes onto a page.

    Attributes:
        title: its heading.
        source: the name of the file of results.
        results: the pairs and their contexts.
        thresholds: for each context, distances above are marked; None if there is none.
        metrics: for each context of the results the loaded one, or None.
        examples: for each context, what explains it.
        images: by the names that the results give them.
        maps: for each context its heat maps by the number of a pair, or None.
        thumbnail: longest side of thumbnails, in pixels.
        preview: longest side of previews.
    """

    title: str
    source: str
    results: Results
    thresholds: Sequence[float | None]
    metrics: Sequence[Metric | None]
    examples: Sequence[Sequence[Example]]
    images: Mapping[str, Embedded]
    maps: Sequence[Mapping[int, HeatMap] | None]
    thumbnail: int
    preview: int


def assemble(content: Content) -> bytes:
    """Put a page together: HTML, UTF-8, equal for equal content."""
    style = _file("page.css")
    script = "\n".join(_file(name) for name in SCRIPTS)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    filling = {
        "policy": html.escape(policy),
        "title": html.escape(content.title),
        "style": style,
        "script": script,
        "data": island(_data(content)),
    }
    # In one pass, so that nothing that is filled in is taken for a place to fill.
    page = re.sub(r"\{\{(\w+)\}\}", lambda place: filling[place[1]], _file("page.html"))
    # Names of files may hold what has no UTF-8.
    return page.encode("utf-8", errors="xmlcharrefreplace")


def island(data: Any) -> str:
    r"""Return data as JSON that cannot end the element it stands in, in ASCII.

    >>> print(island("</script>"))
    "\u003c/script>"
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _data(content: Content) -> dict[str, Any]:
    """Return what the scripts of the page read as `report`."""
    places = {name: place for place, name in enumerate(content.images)}
    return {
        "version": dps_infer.__version__,
        "source": content.source,
        "thresholds": content.thresholds,
        "thumbnailSize": content.thumbnail,
        "previewSize": content.preview,
        "scale": {
            "colours": colour_table(),
            "densest": DENSEST,
            "ticks": [{"value": tick, "along": _along(tick)} for tick in TICKS],
            "end": _along(LEGEND_END),
        },
        "contexts": [
            _metric(measured, metric, examples)
            for measured, metric, examples in zip(
                content.results.metrics, content.metrics, content.examples, strict=True
            )
        ],
        "pairs": _pairs(content.results, places),
        "images": [
            {
                "url": image.thumbnail,
                "width": image.width,
                "height": image.height,
                "why": image.why,
            }
            for image in content.images.values()
        ],
        "previews": {
            places[name]: image.preview
            for name, image in content.images.items()
            if image.preview is not None
        },
        "maps": [
            None if maps is None else {number: _map(heat) for number, heat in maps.items()}
            for maps in content.maps
        ],
    }


def _metric(
    measured: Measured, metric: Metric | None, examples: Sequence[Example]
) -> dict[str, Any]:
    importances = None if metric is None else metric.importances
    return {
        "label": measured.label if metric is None else metric.label,
        "words": measured.words if metric is None else metric.describe(),
        "parts": measured.parts,
        "importances": importances,
        "examples": [
            {
                "name": example.name,
                "strength": example.strength,
                "picture": data_url(shrink(example.pixels, EXAMPLE_SIDE)),
                "distance": example.distance,
            }
            for example in examples
        ],
    }


def _pairs(results: Results, places: Mapping[str, int]) -> dict[str, Any]:
    """Return the pairs column by column, which is smaller and faster to read than rows."""
    pairs = results.pairs
    return {
        "reference": [pair.reference for pair in pairs],
        "candidate": [pair.candidate for pair in pairs],
        "referenceImage": [places[pair.reference] for pair in pairs],
        "candidateImage": [places[pair.candidate] for pair in pairs],
        "distance": [
            [pair.distances[place] for pair in pairs] for place in range(len(results.metrics))
        ],
        "parts": [
            [[pair.parts[place][part] for pair in pairs] for part in range(len(measured.parts))]
            for place, measured in enumerate(results.metrics)
        ],
        "identical": [pair.identical for pair in pairs],
        "notes": [pair.notes for pair in pairs],
        "error": [pair.error for pair in pairs],
        "other": {name: [pair.other[name] for pair in pairs] for name in pairs[0].other},
    }


def _along(value: float) -> float:
    return float(along(np.array(value, np.float32)))


def _map(heat: HeatMap) -> dict[str, Any]:
    return {
        "width": heat.width,
        "height": heat.height,
        "cells": heat.cells,
        "why": heat.why,
    }


def _file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a page's policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
