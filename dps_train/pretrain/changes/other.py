"""Changes that have no name of their own; a metric may read them as the kind they resemble."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.pretrain.changes.draw import UNKNOWN, Draw, Scene, rounded


def other(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Apply one of eight."""
    return CHANGES[draw.mode % len(CHANGES)](pixels, draw), UNKNOWN


def _gamma(pixels: Pixels, draw: Draw) -> Pixels:
    exponent = math.exp(1.2 * draw.sign * draw.share)
    return rounded(255 * (pixels / np.float32(255)) ** np.float32(exponent))


def _median(pixels: Pixels, draw: Draw) -> Pixels:
    return np.asarray(cv2.medianBlur(pixels, 2 * int(1 + 6 * draw.share) + 1), np.uint8)


def _pixelate(pixels: Pixels, draw: Draw) -> Pixels:
    height, width = pixels.shape[:2]
    cells = max(4, int(width / (1 + 12 * draw.share)))
    small = cv2.resize(pixels, (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


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


def _smear(pixels: Pixels, draw: Draw) -> Pixels:
    length = 2 * int(1 + 8 * draw.share) + 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), math.degrees(draw.angle), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    smeared = cv2.filter2D(
        pixels.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT
    )
    return rounded(smeared)


def _vignette(pixels: Pixels, draw: Draw) -> Pixels:
    height, width = pixels.shape[:2]
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    down, across = (0.3 * value for value in draw.normals[:2])
    fall = 0.45 * draw.share * ((rows - down) ** 2 + (columns - across) ** 2)
    return rounded(pixels * (1 - fall).clip(0)[..., None])


CHANGES = (_gamma, _median, _pixelate, _grow, _stripes, _haze, _smear, _vignette)
