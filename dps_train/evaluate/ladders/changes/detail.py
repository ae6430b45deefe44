"""Changes of detail: noise, blur, sharpening, median, rescaling, and a pasted part."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from dps_infer.arrays import Pixels
from dps_train.evaluate.ladders.changes.levels import rounded
from dps_train.evaluate.ladders.photographs import Photograph

SHARPENED_SIGMA = 1.0
"""Pixels. The blur whose difference from the photograph is added to sharpen it."""


def noise(photograph: Photograph, sigma: float) -> Pixels:
    """Add Gaussian noise, each channel its own: the same field at every step, scaled."""
    field = torch.randn(photograph.pixels.shape, generator=photograph.generator("noise")).numpy()
    return rounded(photograph.pixels + np.float32(sigma) * field)


def blur(photograph: Photograph, sigma: float) -> Pixels:
    """Blur with a Gaussian; edges are mirrored."""
    return rounded(_blurred(photograph.pixels, sigma))


def sharpen(photograph: Photograph, amount: float) -> Pixels:
    """Add `amount` times the difference from a blur of `SHARPENED_SIGMA` (unsharp masking)."""
    lost = photograph.pixels - _blurred(photograph.pixels, SHARPENED_SIGMA)
    return rounded(photograph.pixels + np.float32(amount) * lost)


def median(photograph: Photograph, side: float) -> Pixels:
    """Take the median of the square around each pixel.

    Sides between two odd ones mix their medians: so the ladder begins below a side of 3, which is
    visible.
    """
    smaller = 2 * math.floor((side - 1) / 2) + 1
    share = np.float32((side - smaller) / 2)
    medians = [cv2.medianBlur(photograph.pixels, odd) for odd in (smaller, smaller + 2)]
    return rounded((1 - share) * medians[0] + share * medians[1])


def rescale(photograph: Photograph, factor: float) -> Pixels:
    """Scale down by a factor, averaging areas, and up again by cubic interpolation."""
    height, width = photograph.pixels.shape[:2]
    small = (round(width / factor), round(height / factor))
    shrunk = cv2.resize(photograph.pixels, small, interpolation=cv2.INTER_AREA)
    grown = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.uint8)


def patch(photograph: Photograph, percent: float) -> Pixels:
    """Paste a rectangle of another photograph over a share of the area; larger ones hold smaller.

    The rectangle has the photograph's shape. Where it lies is drawn once for all steps.
    """
    height, width = photograph.pixels.shape[:2]
    share = math.sqrt(percent / 100)
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    down, across = photograph.uniform("patch", 2)
    top, left = round(down * (height - rows)), round(across * (width - columns))
    changed = photograph.pixels.copy()
    part = np.s_[top : top + rows, left : left + columns]
    changed[part] = photograph.other[part]
    return changed


def _blurred(pixels: Pixels, sigma: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(
        pixels.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT
    )
    return np.asarray(blurred, np.float32)
