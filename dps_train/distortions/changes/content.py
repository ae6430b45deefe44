"""Something else is there: a patch, a shape, letters or a streak, or something is gone."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.draw import UNKNOWN, Draw, Scene, between, rounded

AREA = (0.001, 0.5)
"""Share of the picture."""

STRETCH = 0.4
FEATHER = 2.5
"""Sigma in pixels of soft edges."""

STREAK = 4
"""Largest width of a streak, in pixels."""

RING = 2
"""Width in pixels of the surroundings of a part whose color fills it."""


def content(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Show something else in a part: another picture, a moved part, a shape, letters or nothing."""
    top, left, height, width = box(pixels, between(*AREA, draw.share), draw.rng())
    rng, variant = np.random.default_rng(draw.seed + 1), draw.mode % 12
    changed, paint = pixels.copy(), [int(value) for value in rng.integers(0, 256, 3)]
    part = np.s_[top : top + height, left : left + width]
    if variant < 4:
        other = scene.other
        if other.shape != pixels.shape:
            size = pixels.shape[1], pixels.shape[0]
            resized = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
            other = np.asarray(resized, np.uint8)
        changed[part] = other[part]
        if variant == 3:
            changed = _feathered(pixels, changed, part)
    elif variant < 6:
        row = int(rng.integers(pixels.shape[0] - height + 1))
        column = int(rng.integers(pixels.shape[1] - width + 1))
        changed[part] = pixels[row : row + height, column : column + width]
    elif variant == 6:
        changed[part] = paint
    elif variant == 7:
        center = left + width // 2, top + height // 2
        axes = max(1, width // 2), max(1, height // 2)
        cv2.ellipse(changed, center, axes, 0, 0, 360, paint, -1, cv2.LINE_AA)
    elif variant == 8:
        sides = pixels[part].reshape(-1, 3)
        changed[part] = np.median(sides, axis=0).astype(np.uint8)
        changed = _feathered(pixels, changed, part)
    elif variant == 9:
        clear(changed, (top, left, height, width))
    elif variant == 10:
        _streak(changed, draw.share, paint, rng)
    else:
        letters = "".join(chr(code) for code in rng.integers(65, 91, 3 + int(8 * draw.share)))
        scale = 0.4 + 1.2 * draw.share * pixels.shape[0] / 192
        at = left, max(12, top + height // 2)
        cv2.putText(
            changed, letters, at, cv2.FONT_HERSHEY_SIMPLEX, scale, paint,
            1 + int(2 * draw.share), cv2.LINE_AA,
        )  # fmt: skip
    return changed, UNKNOWN


def clear(pixels: Pixels, part: tuple[int, int, int, int]) -> None:
    """Fill a part (top, left, height, width) in place with the median color around it."""
    top, left, height, width = part
    around = np.s_[
        max(0, top - RING) : top + height + RING, max(0, left - RING) : left + width + RING
    ]
    ring = np.ones(pixels[around].shape[:2], bool)
    down, across = top - max(0, top - RING), left - max(0, left - RING)
    ring[down : down + height, across : across + width] = False
    surroundings = pixels[around][ring] if ring.any() else pixels.reshape(-1, 3)
    pixels[top : top + height, left : left + width] = np.median(surroundings, axis=0)


def _streak(pixels: Pixels, share: float, paint: list[int], rng: np.random.Generator) -> None:
    """Draw a line across or down in place, whole or in part; half of them are white or black."""
    rows, columns = pixels.shape[:2]
    thick = 1 + int(STREAK * share * rng.random())
    color = paint if rng.random() < 0.5 else [int(rng.choice((0, 255)))] * 3
    down = rng.random() < 0.5
    length = rows if down else columns
    first, last = sorted(int(end) for end in rng.uniform(0, length, 2))
    along = np.s_[:] if rng.random() < 0.5 else np.s_[first : max(last, first + 8)]
    start = int(rng.integers((columns if down else rows) - thick + 1))
    across = np.s_[start : start + thick]
    pixels[(along, across) if down else (across, along)] = color


def _feathered(before: Pixels, after: Pixels, part: tuple[slice, slice]) -> Pixels:
    """Blend the edge of a changed part into the picture."""
    mask = np.zeros(before.shape[:2], np.float32)
    mask[part] = 1
    share = np.asarray(cv2.GaussianBlur(mask, (0, 0), FEATHER))[..., None]
    return rounded(before + (after.astype(np.float32) - before) * share)


def box(pixels: Pixels, area: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw top, left, height and width of a rectangle that covers a share of the picture."""
    rows, columns = pixels.shape[:2]
    share, stretch = math.sqrt(area), math.exp(STRETCH * rng.standard_normal())
    height = int(np.clip(rows * share * stretch, 2, rows))
    width = int(np.clip(columns * share / stretch, 2, columns))
    down, across = rng.uniform(size=2)
    return int(down * (rows - height)), int(across * (columns - width)), height, width
