"""Something else on a page, a screen or a print: an element is gone, is another, or is new.

An element is what stands apart from its surroundings: a word, a line, a button, a picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.content import box, clear
from dps_train.distortions.changes.draw import Scene

EDGE = 24
"""Difference between neighbors, of 255, that is an edge of an element."""

GAP = 14
"""Largest distance in pixels between letters, or lines, of one element."""

FEWEST_PIXELS, LARGEST_SHARE = 30, 0.2
"""An element's least area, and its largest as a share of the image."""

Box = tuple[int, int, int, int]
"""Top, left, height and width."""


def another_element(pixels: Pixels, scene: Scene, rng: np.random.Generator) -> Pixels:
    """Remove an element, put another one in its place, or repeat it elsewhere."""
    changed = pixels.copy()
    found = elements(pixels, rng)
    part = found[int(rng.integers(len(found)))] if found else box(pixels, 0.01, rng)
    top, left, height, width = part
    inside = np.s_[top : top + height, left : left + width]
    choice, sizes = rng.random(), tuple(zip(pixels.shape[:2], (height, width), strict=True))
    if choice < 0.4:
        clear(changed, part)
    elif choice < 0.6:
        _write(changed, part, rng)
    elif choice < 0.8:
        row, column = (int(rng.integers(n - m + 1)) for n, m in sizes)
        changed[row : row + height, column : column + width] = pixels[inside]
    else:
        source = scene.other if scene.other.shape == pixels.shape and rng.random() < 0.5 else pixels
        row, column = (int(rng.integers(n - m + 1)) for n, m in sizes)
        changed[inside] = source[row : row + height, column : column + width]
    return changed


def elements(pixels: Pixels, rng: np.random.Generator) -> list[Box]:
    """Find the elements of a page: letters that are closer than a random distance are one."""
    cross = np.ones((3, 3), np.uint8)
    edges = (cv2.morphologyEx(pixels, cv2.MORPH_GRADIENT, cross).max(axis=2) > EDGE).astype(
        np.uint8
    )
    across, down = int(rng.integers(1, GAP)), int(rng.integers(1, GAP // 2))
    closed = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((down, across), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(closed)
    largest = LARGEST_SHARE * pixels.shape[0] * pixels.shape[1]
    return [
        (int(top), int(left), int(height), int(width))
        for left, top, width, height, _ in boxes[1:]
        if FEWEST_PIXELS <= width * height <= largest
    ]


def _write(pixels: Pixels, part: Box, rng: np.random.Generator) -> None:
    """Replace an element by letters of its color and height, in place."""
    top, left, height, width = part
    inside = pixels[top : top + height, left : left + width].reshape(-1, 3).astype(int)
    paper = np.median(inside, axis=0)
    ink = inside[np.abs(inside - paper).sum(axis=1).argmax()].tolist()
    clear(pixels, part)
    scale = max(0.25, height / 30)
    letters = "".join(chr(code) for code in rng.integers(48, 91, max(1, int(width / (18 * scale)))))
    cv2.putText(
        pixels, letters, (left, top + height - 1), cv2.FONT_HERSHEY_SIMPLEX, scale, ink,
        1 + int(scale), cv2.LINE_AA,
    )  # fmt: skip
