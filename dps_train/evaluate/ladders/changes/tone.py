"""Changes of brightness, contrast and color, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np

from dps_infer.arrays import Pixels
from dps_train.evaluate.ladders.changes.levels import rounded
from dps_train.evaluate.ladders.photographs import Photograph

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B, ITU-R BT.601."""

TO_YCC = np.array([LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""From RGB to luma and the two chroma planes, as in JPEG."""


def darker(photograph: Photograph, percent: float) -> Pixels:
    """Multiply by 1 - percent / 100."""
    return rounded(photograph.pixels * np.float32(1 - percent / 100))


def brighter(photograph: Photograph, percent: float) -> Pixels:
    """Multiply by 1 + percent / 100; highlights clip."""
    return rounded(photograph.pixels * np.float32(1 + percent / 100))


def contrast(photograph: Photograph, percent: float) -> Pixels:
    """Scale differences from the mean gray by 1 + percent / 100."""
    mean = np.float32((photograph.pixels @ LUMA).mean(dtype=np.float64))
    return rounded(mean + (photograph.pixels - mean) * np.float32(1 + percent / 100))


def saturation(photograph: Photograph, percent: float) -> Pixels:
    """Scale differences from each pixel's luma by 1 + percent / 100."""
    luma = (photograph.pixels @ LUMA)[..., None]
    return rounded(luma + (photograph.pixels - luma) * np.float32(1 + percent / 100))


def hue(photograph: Photograph, degrees: float) -> Pixels:
    """Turn the chroma plane; luma stays."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = np.linalg.inv(TO_YCC.astype(np.float64)) @ turn @ TO_YCC
    return rounded(photograph.pixels @ matrix.T.astype(np.float32))


def white_balance(photograph: Photograph, percent: float) -> Pixels:
    """Make it warmer: red times 1 + percent / 100, blue divided by it."""
    gain = 1 + percent / 100
    return rounded(photograph.pixels * np.array([gain, 1, 1 / gain], np.float32))


def gamma(photograph: Photograph, exponent: float) -> Pixels:
    """Raise values in [0, 1] to a power; above 1 middle tones become darker."""
    return rounded(255 * (photograph.pixels / np.float32(255)) ** np.float32(exponent))


def posterize(photograph: Photograph, levels: float) -> Pixels:
    """Round each channel to evenly spaced levels; `levels` is their number."""
    step = np.float32(255 / (levels - 1))
    return rounded(np.round(photograph.pixels / step) * step)
