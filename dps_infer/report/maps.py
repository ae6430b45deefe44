"""Heat maps for a page: where the distance of a pair comes from.

Their scale and colours are those of `dps_infer.show.heatmap`, the same in all pairs.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dps_infer.compare.metric import Metric
from dps_infer.errors import ImageError
from dps_infer.model.view import View
from dps_infer.show.heatmap import MIDDLE, Floats, local_values, paint

LONGEST = 64
"""Cells at most along a side. Maps are smooth: finer ones are averaged."""


@dataclass(frozen=True)
class HeatMap:
    """A map as a page holds it.

    Attributes:
        width: cells across.
        height: cells down.
        cells: base64 of a byte a cell, row by row: how far along the scale it is, of 255.
        distance: of the pair, as it was computed with the map.
        why: why there is no map; empty if there is one.
    """

    width: int = 0
    height: int = 0
    cells: str = ""
    distance: float | None = None
    why: str = ""


def heat_map(
    metric: Metric,
    reference: Path,
    candidate: Path,
    size: tuple[int, int],
    *,
    view: View | None = None,
    resize: bool = False,
) -> HeatMap:
    """Compare two images and return their heat map; a bad image becomes its `why`.

    Args:
        metric: what to measure in.
        reference: the first image.
        candidate: the second.
        size: height and width of the first, in pixels.
        view: as in `Metric.compare`.
        resize: as in `Metric.compare`.

    Raises:
        ContextError: the context gives no maps, or fails.
    """
    try:
        comparison = metric.compare(reference, candidate, view=view, resize=resize, with_map=True)
    except ImageError as error:
        # The page names the images already, and need not tell where they lie.
        why = str(error)
        for path in (reference, candidate):
            why = why.replace(str(path), path.name)
        return HeatMap(why=why)
    return quantised(local_values(comparison, metric, size), comparison.distance)


def quantised(local: Floats, distance: float | None = None) -> HeatMap:
    """Return local distances [H, W] in cells and levels."""
    height, width = local.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(local, size, interpolation=cv2.INTER_AREA), np.float32)
    levels = np.rint(along(small) * 255).astype(np.uint8)
    cells = base64.b64encode(levels.tobytes()).decode("ascii")
    return HeatMap(*size, cells, distance)


def along(local: Floats) -> Floats:
    """Return how far along the scale local distances are, in [0, 1)."""
    return np.asarray(local / (local + MIDDLE), np.float32)


def colour_table() -> str:
    """Return the colours of the scale: base64 of 256 RGB triples."""
    share = np.minimum(np.arange(256, dtype=np.float32) / 255, 1 - 1e-6)
    colours = paint((MIDDLE * share / (1 - share))[None, :])
    return base64.b64encode(colours.tobytes()).decode("ascii")
