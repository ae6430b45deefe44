"""Assemble the page: template, style and scripts from ``page/``, and the data as inline JSON.

The page loads nothing and runs only its own scripts: the content security policy in its head
lists them by their hashes. Data enters it in two ways only, both here: the title, escaped as HTML,
and the inline JSON, which escapes ``<`` and all characters that are not ASCII.
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

from dps_infer.compare.metric import Metric
from dps_infer.report.examples import Example
from dps_infer.report.maps import HeatMap, color_table
from dps_infer.report.pictures import Embedded, data_url, shrink
from dps_infer.report.rows import MeasuredContext, Results
from dps_infer.show.heatmap import LEGEND_END, MAX_OPACITY, TICKS, along_scale
from dps_infer.version import __version__

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("base.js", "model.js", "overview.js", "table.js", "viewer.js", "main.js")
EXAMPLE_SIDE = 128


@dataclass(frozen=True, eq=False)
class Content:
    """The content of a page. Sequences have one item per context of the results.

    Attributes:
        title: its heading.
        source: the name of the file of results.
        results: the pairs and their contexts.
        thresholds: distances above are marked; None marks none.
        metrics: the metrics of the contexts, if they are loaded.
        examples: the pictures that explain the contexts.
        images: by their names in the results.
        maps: the heat maps by the number of the pair, if the metric is loaded.
        thumbnail: longest side of thumbnails in pixels.
        preview: longest side of previews in pixels.
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
    """Return the page: HTML, UTF-8, the same bytes for the same content."""
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
        "data": inline_json(_data(content)),
    }
    # In one pass, so that no inserted text is mistaken for a placeholder.
    page = re.sub(r"\{\{(\w+)\}\}", lambda place: filling[place[1]], _file("page.html"))
    # Names of files may hold bytes that are not UTF-8.
    return page.encode("utf-8", errors="xmlcharrefreplace")


def inline_json(data: Any) -> str:
    r"""Return data as ASCII JSON that cannot close the element around it.

    >>> print(inline_json("</script>"))
    "\u003c/script>"
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _data(content: Content) -> dict[str, Any]:
    """Return the object that the scripts of the page know as `report`."""
    places = {name: place for place, name in enumerate(content.images)}
    return {
        "version": __version__,
        "source": content.source,
        "thresholds": content.thresholds,
        "thumbnailSize": content.thumbnail,
        "previewSize": content.preview,
        "scale": {
            "colors": color_table(),
            "maxOpacity": MAX_OPACITY,
            "ticks": [{"value": tick, "along": _along(tick)} for tick in TICKS],
            "end": _along(LEGEND_END),
        },
        "contexts": [
            _context(measured, metric, examples)
            for measured, metric, examples in zip(
                content.results.contexts, content.metrics, content.examples, strict=True
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


def _context(
    measured: MeasuredContext, metric: Metric | None, examples: Sequence[Example]
) -> dict[str, Any]:
    return {
        "label": measured.label if metric is None else metric.label,
        "words": measured.words if metric is None else metric.describe(),
        "parts": measured.parts,
        "importances": None if metric is None else metric.importances,
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
    """Return the pairs by column, which is smaller and faster to parse than rows."""
    pairs = results.pairs
    return {
        "reference": [pair.reference for pair in pairs],
        "candidate": [pair.candidate for pair in pairs],
        "referenceImage": [places[pair.reference] for pair in pairs],
        "candidateImage": [places[pair.candidate] for pair in pairs],
        "distance": [
            [pair.distances[place] for pair in pairs] for place in range(len(results.contexts))
        ],
        "parts": [
            [[pair.parts[place][part] for pair in pairs] for part in range(len(measured.parts))]
            for place, measured in enumerate(results.contexts)
        ],
        "identical": [pair.identical for pair in pairs],
        "notes": [pair.notes for pair in pairs],
        "error": [pair.error for pair in pairs],
        "other": {name: [pair.other[name] for pair in pairs] for name in pairs[0].other},
    }


def _along(value: float) -> float:
    return float(along_scale(np.float32(value)))


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
    """Return the hash by which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
