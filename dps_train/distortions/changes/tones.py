"""Changes of brightness, contrast and color."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.draw import UNKNOWN, Draw, Scene, rounded

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
TO_YCC = np.array([LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


def darken(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Multiply by a factor, or at times add a level or apply a power."""
    if draw.mode % 4 == 0:
        return rounded(pixels - 100.0 * draw.sign * draw.share), UNKNOWN
    if draw.mode % 4 == 1:
        exponent = math.exp(1.3 * draw.sign * draw.share)
        return rounded(255 * (pixels / np.float32(255)) ** np.float32(exponent)), UNKNOWN
    factor = 1 - 0.9 * draw.share if draw.sign > 0 else 1 + 1.5 * draw.share
    return rounded(pixels * np.float32(factor)), UNKNOWN


def contrast(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Scale differences from the mean gray, the mean color, or the middle of the range."""
    factor = math.exp(1.3 * draw.share) if draw.sign > 0 else 1 - 0.92 * draw.share
    values = pixels.astype(np.float32)
    if draw.mode % 5 == 0:
        center = np.float32(128)
    else:
        center = values.mean(axis=(0, 1)) if draw.mode % 3 == 0 else (values @ LUMA).mean()
    return rounded(center + (values - center) * np.float32(factor)), UNKNOWN


def saturation(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Scale differences from gray, or the saturation of HSV."""
    factor = 1 + 3.5 * draw.share if draw.sign > 0 else 1 - draw.share
    if draw.mode % 3 == 0:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 1] *= factor
        return np.asarray(cv2.cvtColor(rounded(hsv), cv2.COLOR_HSV2RGB), np.uint8), UNKNOWN
    values = pixels.astype(np.float32)
    gray = (values @ LUMA)[..., None]
    return rounded(gray + (values - gray) * np.float32(factor)), UNKNOWN


def color(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Turn the hue of HSV, or the chroma plane."""
    degrees = 180 * draw.sign * draw.share
    if draw.mode % 2:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 360 * 256)) % 256
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8), UNKNOWN
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = np.linalg.inv(TO_YCC.astype(np.float64)) @ turn @ TO_YCC
    return rounded(pixels @ matrix.T.astype(np.float32)), UNKNOWN


def tint(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Multiply channels by gains, as white balance does, or at times add a color."""
    values, direction = pixels.astype(np.float32), np.array(draw.normals[:3], np.float32)
    direction = direction - direction.mean()
    direction = direction / np.abs(direction).max()
    if draw.mode % 3 == 0:
        return rounded(values + 60 * draw.share * direction), UNKNOWN
    if draw.mode % 3 == 1:
        gain = (1 + 0.9 * draw.share) ** draw.sign
        return rounded(values * np.array([gain, 1, 1 / gain], np.float32)), UNKNOWN
    return rounded(values * np.exp(0.7 * draw.share * direction)), UNKNOWN
