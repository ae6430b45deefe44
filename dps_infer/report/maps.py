"""Heat maps for a page, on the scale and with the colors of `dps_infer.show.heatmap`.

A file of results holds distances and their parts only, so the size, directions, strengths and
anchors of a pair come with its heat map.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dps_infer.arrays import Floats
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Region
from dps_infer.errors import ImageError
from dps_infer.images.ignored import Ignored
from dps_infer.show.heatmap import (
    LEGEND_END,
    MAX_OPACITY,
    MIDDLE,
    TICKS,
    along_scale,
    local_values,
    paint,
)
from dps_infer.show.phrases import kind_words
from dps_infer.show.regions import region_words
from dps_infer.show.words import anchor_words

LONGEST = 64
"""Maximum number of cells along a side. Maps are smooth, so finer ones are averaged."""


@dataclass(frozen=True)
class HeatMap:
    """A map as a page holds it.

    Attributes:
        width: cells across.
        height: cells down.
        cells: base64 of one byte per cell, row by row: its position on the scale, times 255.
        distance: of the pair, computed together with the map.
        size: the general distance of the pair; None if the context file names no kinds.
        words: each part of the distance in words, with direction and strength.
        anchors: changes that are about as different, in words; empty if none are known.
        regions: the places that differ, the most different first: left edge, upper edge, width and
            height as shares of the image's sides, their distance, and a description.
        why: the reason why there is no map; empty if there is one.
    """

    width: int = 0
    height: int = 0
    cells: str = ""
    distance: float | None = None
    size: float | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    anchors: str = ""
    regions: Sequence[Mapping[str, Any]] = ()
    why: str = ""


def heat_map(
    metric: Metric,
    reference: Path,
    candidate: Path,
    size: tuple[int, int],
    *,
    resize: bool = False,
    ignored: Ignored | None = None,
) -> HeatMap:
    """Compare two images and return their heat map; an invalid image becomes its `why`.

    Args:
        metric: the metric.
        reference: the first image.
        candidate: the second image.
        size: height and width of the first image in pixels.
        resize: see `Metric.compare`.
        ignored: parts to leave out.

    Raises:
        ContextError: the context file gives no maps, or fails.
    """
    try:
        comparison = metric.compare(
            reference,
            candidate,
            resize=resize,
            with_map=True,
            with_regions=True,
            ignore=ignored,
        )
    except ImageError as error:
        # The page names the images already; their folders may be private.
        why = str(error)
        for path in (reference, candidate):
            why = why.replace(str(path), path.name)
        return HeatMap(why=why)
    known = comparison.distance > 0 and comparison.anchors
    return replace(
        quantize(local_values(comparison, metric, size)),
        distance=comparison.distance,
        size=comparison.size,
        words={name: kind_words(name, comparison) for name, v in comparison.parts.items() if v},
        anchors=anchor_words(comparison.anchors) if known else "",
        regions=[_region_data(region, size) for region in comparison.regions or ()],
    )


def _region_data(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    return {
        "left": region.x / width,
        "top": region.y / height,
        "width": region.width / width,
        "height": region.height / height,
        "distance": region.distance,
        "words": region_words(region),
    }


def quantize(local: Floats) -> HeatMap:
    """Return local distances [H, W] as cells of 8 bits."""
    height, width = local.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(local, size, interpolation=cv2.INTER_AREA), np.float32)
    levels = np.rint(along_scale(small) * 255).astype(np.uint8)
    cells = base64.b64encode(levels.tobytes()).decode("ascii")
    return HeatMap(*size, cells)


def scale_data() -> dict[str, Any]:
    """Return the scale of all maps: its colors and its legend."""

    def along(value: float) -> float:
        return float(along_scale(np.float32(value)))

    return {
        "colors": color_table(),
        "maxOpacity": MAX_OPACITY,
        "ticks": [{"value": tick, "along": along(tick)} for tick in TICKS],
        "end": along(LEGEND_END),
    }


def color_table() -> str:
    """Return the colors of the scale: base64 of 256 RGB triples."""
    share = np.minimum(np.arange(256, dtype=np.float32) / 255, 1 - 1e-6)
    colors = paint((MIDDLE * share / (1 - share))[None, :])
    return base64.b64encode(colors.tobytes()).decode("ascii")
