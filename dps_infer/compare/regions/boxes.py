"""Boxes around the places in which two images differ.

The pixels that differ are joined where only narrow gaps part them, and each group gets the box that
just contains it. Boxes that nearly touch are merged. Where most of an image differs (noise, another
encoding, a shift of everything), boxes of pixels say nothing; there, places stand out by their
local distance, in the metric's map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Floats, Pixels

MOST_BOXES = 32
"""More places than these are joined with their neighbors."""

MOST_GROUPS = 8 * MOST_BOXES
"""Groups of pixels that are merged at most; of more, neighbors are joined first."""

GAP = 1 / 100
"""Widest gap within a place, as a share of the mean side of the image."""

SMALLEST_GAP, LARGEST_GAP = 4, 48
"""In pixels."""

NEAR = 0.5
"""Gap of two boxes up to which they are merged, as a share of the smaller one's shorter side."""

WIDE = 0.25
"""Share of the image from which on a box may contain places that stand out."""

STANDS_OUT = 6.0
"""Local distance of a place that stands out, over the upper quartile of its surroundings."""


class Box(NamedTuple):
    """A box in pixels, from the top left corner of the image."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def slices(self) -> tuple[slice, slice]:
        """Return the rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def difference(renderings: Sequence[tuple[Pixels, Pixels]]) -> NDArray[np.bool_]:
    """Return where any sample of any rendering differs, [H, W]."""
    found = np.zeros(renderings[0][0].shape[:2], np.bool_)
    for first, second in renderings:
        found |= (first != second).any(axis=2)
    return found


def find_boxes(differs: NDArray[np.bool_]) -> list[Box]:
    """Return boxes that together contain every pixel that differs.

    Args:
        differs: [H, W].

    Returns:
        At most `MOST_BOXES`, from top to bottom.
    """
    gap = int(np.clip(GAP * np.sqrt(differs.size), SMALLEST_GAP, LARGEST_GAP))
    while True:
        groups = _groups(differs, gap)
        # Merging takes time that grows with the square of their number.
        if len(groups) <= MOST_GROUPS and len(boxes := merge(groups)) <= MOST_BOXES:
            return sorted(boxes, key=lambda box: (box.y, box.x))
        gap *= 2


def outstanding(local: Floats, box: Box, image: tuple[int, int]) -> list[Box]:
    """Return the places within a wide box whose local distance is far above what is around them.

    Args:
        local: local distances [h, w], at any resolution.
        box: in pixels of the image.
        image: height and width of the image.
    """
    height, width = local.shape
    down, across = image[0] / height, image[1] / width
    rows = slice(int(box.y // down), int(-(-(box.y + box.height) // down)))
    columns = slice(int(box.x // across), int(-(-(box.x + box.width) // across)))
    inside = local[rows, columns]
    high = inside > STANDS_OUT * np.quantile(inside, 0.75)
    if not high.any():
        return []
    found = []
    for place in merge(_groups(high, 3)):
        left = int((columns.start + place.x) * across)
        top = int((rows.start + place.y) * down)
        right = min(image[1], int(np.ceil((columns.start + place.x + place.width) * across)))
        bottom = min(image[0], int(np.ceil((rows.start + place.y + place.height) * down)))
        found.append(Box(left, top, right - left, bottom - top))
    return found


def merge(boxes: Sequence[Box]) -> list[Box]:
    """Merge boxes that overlap or nearly touch, until none do."""
    merged: list[Box] = []
    waiting = list(boxes)
    while waiting:
        box = waiting.pop()
        near = next((other for other in merged if _near(box, other)), None)
        if near is None:
            merged.append(box)
        else:
            merged.remove(near)
            # The larger box may be near others now.
            waiting.append(_around(box, near))
    return merged


def window(box: Box, image: tuple[int, int], *, margin: int, smallest: int) -> Box:
    """Return a box with a margin and at least `smallest` pixels a side, moved into the image."""
    y, height = _line(box.y, box.height, image[0], margin, smallest)
    x, width = _line(box.x, box.width, image[1], margin, smallest)
    return Box(x, y, width, height)


def _line(start: int, length: int, total: int, margin: int, smallest: int) -> tuple[int, int]:
    grown = min(total, max(length + 2 * margin, smallest))
    first = start - (grown - length) // 2
    return int(np.clip(first, 0, total - grown)), grown


def _groups(differs: NDArray[np.bool_], gap: int) -> list[Box]:
    """Return a box for each group of pixels that are at most `gap` pixels apart."""
    side = 2 * (gap // 2) + 1
    wide = cv2.dilate(differs.view(np.uint8), np.ones((side, side), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(wide)
    found = []
    for label in range(1, count):
        x, y, width, height, _ = boxes[label].tolist()
        inside = np.s_[y : y + height, x : x + width]
        own = differs[inside] & (labels[inside] == label)
        left, top, tight_width, tight_height = cv2.boundingRect(own.view(np.uint8))
        found.append(Box(x + left, y + top, tight_width, tight_height))
    return found


def _near(one: Box, other: Box) -> bool:
    across = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)
    down = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
    smaller = min(one, other, key=lambda box: box.area)
    return max(across, down) <= NEAR * min(smaller.width, smaller.height)


def _around(one: Box, other: Box) -> Box:
    x, y = min(one.x, other.x), min(one.y, other.y)
    right = max(one.x + one.width, other.x + other.width)
    bottom = max(one.y + one.height, other.y + other.height)
    return Box(x, y, right - x, bottom - y)
