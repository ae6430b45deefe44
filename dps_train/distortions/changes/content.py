"""Something else is there: a patch, a shape, or letters."""

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


def content(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Show something else in a part: another picture, a moved part, a shape, or letters."""
    top, left, height, width = box(pixels, between(*AREA, draw.share), draw.rng())
    rng, variant = np.random.default_rng(draw.seed + 1), draw.mode % 10
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
    else:
        letters = "".join(chr(code) for code in rng.integers(65, 91, 3 + int(8 * draw.share)))
        scale = 0.4 + 1.2 * draw.share * pixels.shape[0] / 192
        at = left, max(12, top + height // 2)
        cv2.putText(
            changed, letters, at, cv2.FONT_HERSHEY_SIMPLEX, scale, paint,
            1 + int(2 * draw.share), cv2.LINE_AA,
        )  # fmt: skip
    return changed, UNKNOWN


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
