"""Draw what is left out of a comparison and the places that differ, and name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.compare.pairs import Comparison, Region
from dps_infer.images.fill import Mask
from dps_infer.show.phrases import kind_words

SHOWN = 8
"""Places that are listed for people."""

HATCH_DARK, HATCH_LIGHT = (64, 64, 64), (150, 150, 150)
BOX_INNER, BOX_OUTER = (255, 255, 255), (0, 0, 0)


def hatch(picture: Pixels, ignored: Mask) -> None:
    """Hatch what is left out, in place.

    Args:
        picture: uint8 RGB [H, W, 3]; it may be higher and wider than the images.
        ignored: [H, W] of the images.
    """
    height, width = ignored.shape
    period = _unit(height, width) * 6
    stripes = np.add.outer(np.arange(height), np.arange(width)) % period < period // 3
    part = picture[:height, :width]
    part[ignored] = np.where(stripes[ignored][:, None], HATCH_LIGHT, HATCH_DARK)


def draw_boxes(picture: Pixels, regions: Sequence[Region], size: tuple[int, int]) -> None:
    """Draw the boxes of regions with their numbers from 1, in place.

    Args:
        picture: uint8 RGB [H, W, 3]; it may be higher and wider than the images.
        regions: the regions.
        size: height and width of the images.
    """
    thick = _unit(*size)
    inside = np.ascontiguousarray(picture[: size[0], : size[1]])
    # The most different one is drawn last, over the others.
    for number, region in reversed([*enumerate(regions, start=1)]):
        start = (region.x, region.y)
        end = (region.x + region.width - 1, region.y + region.height - 1)
        cv2.rectangle(inside, start, end, BOX_OUTER, 3 * thick)
        cv2.rectangle(inside, start, end, BOX_INNER, thick)
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thick + 0.1
        (length, high), _ = cv2.getTextSize(str(number), font, scale, thick)
        pad = 2 * thick
        # Above the box, or inside where there is no room.
        top = region.y - high - 2 * pad if region.y >= high + 2 * pad else region.y
        left = min(region.x, max(0, size[1] - length - 2 * pad))
        corner = (left + length + 2 * pad, top + high + 2 * pad)
        cv2.rectangle(inside, (left, top), corner, BOX_OUTER, cv2.FILLED)
        origin = (left + pad, top + high + pad)
        cv2.putText(inside, str(number), origin, font, scale, BOX_INNER, thick, cv2.LINE_AA)
    picture[: size[0], : size[1]] = inside


def region_lines(comparison: Comparison, *, most: int = SHOWN) -> list[str]:
    """Describe the places that differ, one a line, the most different first."""
    regions = comparison.regions or ()
    lines = [
        f"region {number}: {region_words(region)}"
        for number, region in enumerate(regions[:most], start=1)
    ]
    more = len(regions) - most
    return [*lines, f"and {more} more region{'s' * (more > 1)}"] if more > 0 else lines


def region_words(region: Region) -> str:
    """Describe a place: ``0.68 softer (about sigma 3 px), 120x80 at 40,60, 1.2 % of the image``."""
    kind = region.kind
    words = "" if kind is None else f" {kind_words(kind, region.comparison)}"
    share = "under 0.1 %" if region.share < 0.001 else f"{100 * region.share:.1f} %"
    return (
        f"{region.distance:.2g}{words}, {region.width}x{region.height} at {region.x},{region.y}, "
        f"{share} of the image"
    )


def region_records(comparison: Comparison) -> list[dict[str, Any]] | None:
    """Return the records of the places for JSON; None if they were not asked for."""
    if comparison.regions is None:
        return None
    return [
        {
            "x": region.x,
            "y": region.y,
            "width": region.width,
            "height": region.height,
            "share": region.share,
            "distance": region.distance,
            "kind": region.kind,
            "parts": region.comparison.parts,
        }
        for region in comparison.regions
    ]


def _unit(height: int, width: int) -> int:
    """Return the width of a line in pixels."""
    return max(1, round(min(height, width) / 500))
