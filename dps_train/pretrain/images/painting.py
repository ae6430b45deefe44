"""Helpers of the drawing modules: colors, points, outlines, rounding and resizing."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels

Color = tuple[float, float, float]
"""RGB, 0 to 255, for OpenCV's drawing functions."""


def random_color(rng: np.random.Generator, low: float = 0, high: float = 255) -> Color:
    """Draw a color; two in five are close to gray, as in most photographs."""
    channels = rng.uniform(low, high, 3)
    if rng.random() < 0.4:
        mean = channels.mean()
        channels = mean + (channels - mean) * rng.uniform(0, 0.5)
    return as_color(channels)


def as_color(channels: NDArray[np.float64]) -> Color:
    """Return three numbers as a color, clipped to 0 and 255."""
    red, green, blue = np.clip(channels, 0, 255).tolist()
    return red, green, blue


def random_point(side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel of an image: its column and its row."""
    column, row = rng.integers(0, side, 2).tolist()
    return column, row


def to_pixels(points: NDArray[np.number]) -> NDArray[np.int32]:
    """Round points [N, 2] to whole pixels, for OpenCV's drawing functions."""
    return np.rint(points).astype(np.int32)


def polygon(center: tuple[int, int], radius: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return 3 to 9 corners around a center: int32 [N, 2]."""
    angles = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 10)))
    reach = radius * rng.uniform(0.5, 1, (len(angles), 1))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return to_pixels(center + around * reach)


def as_image(values: NDArray[np.floating]) -> Pixels:
    """Round values to uint8, clipped to 0 and 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def resized(image: Pixels, side: int) -> Pixels:
    """Resize an image to a square, by area averaging if it shrinks."""
    if image.shape[:2] == (side, side):
        return image
    shrinks = min(image.shape[:2]) >= side
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=interpolation), dtype=np.uint8)
