"""Changes that have no name of their own; a metric may read them as the kind they resemble."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.draw import UNKNOWN, Draw, Scene, rounded


def other(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Grow light or dark parts, or add stripes, haze or a vignette."""
    return CHANGES[draw.mode % len(CHANGES)](pixels, draw), UNKNOWN


def _grow(pixels: Pixels, draw: Draw) -> Pixels:
    side = 2 + int(4 * draw.share)
    return np.asarray(
        (cv2.erode if draw.sign > 0 else cv2.dilate)(pixels, np.ones((side, side), np.uint8))
    )


def _stripes(pixels: Pixels, draw: Draw) -> Pixels:
    period = 2 + 12 * abs(draw.normals[0])
    line = 60 * draw.share * np.sin(2 * math.pi * np.arange(pixels.shape[0]) / period)
    field = line[:, None, None] if draw.sign > 0 else line[None, : pixels.shape[1], None]
    return rounded(pixels + field)


def _haze(pixels: Pixels, draw: Draw) -> Pixels:
    light = np.array([225, 225, 220], np.float32)
    return rounded(pixels + (light - pixels) * np.float32(0.8 * draw.share))


def _vignette(pixels: Pixels, draw: Draw) -> Pixels:
    height, width = pixels.shape[:2]
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    down, across = (0.3 * value for value in draw.normals[:2])
    fall = 0.45 * draw.share * ((rows - down) ** 2 + (columns - across) ** 2)
    return rounded(pixels * (1 - fall).clip(0)[..., None])


CHANGES = (_grow, _stripes, _haze, _vignette)
