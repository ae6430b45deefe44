"""A context in pictures: each distortion at one strength, and its distance.

All are strong changes, with amounts of about 1. So the distances of the pictures show how the
context weighs equal amounts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.compare.metric import Metric
from dps_infer.report.pictures import shrink

SIDE = 256
"""Longest side in pixels of the image that is distorted."""

BLUR_SIDE = 64
"""The strength of a blur is its sigma on an image with sides of this many pixels."""


@dataclass(frozen=True, eq=False)
class Example:
    """One distortion of an image.

    Attributes:
        name: of the distortion; empty for the image itself.
        strength: in words.
        pixels: uint8 RGB.
        distance: from the image itself, in the context.
    """

    name: str
    strength: str
    pixels: Pixels
    distance: float


def examples(metric: Metric, image: Pixels) -> list[Example]:
    """Apply each distortion of a metric to an image and measure the distances.

    Args:
        metric: the metric.
        image: uint8 RGB [H, W, 3]; a large one is shrunk first.

    Returns:
        Sorted by distance, the image itself first. Distortions that are unknown here are left
        out.
    """
    small = shrink(image, SIDE)
    found = [Example("", "the image itself", small, 0.0)]
    for distortion in metric.manifest.metric.distortions:
        if distortion.name in _DISTORTIONS:
            apply, strength, words = _DISTORTIONS[distortion.name]
            changed = apply(small, strength)
            distance = metric.compare(small, changed).distance
            found.append(Example(distortion.name, words(strength), changed, distance))
    return sorted(found, key=lambda example: example.distance)


def _translate(image: Pixels, fraction: float) -> Pixels:
    return _warp(image, np.array([[1, 0, fraction * image.shape[1]], [0, 1, 0]]))


def _rotate(image: Pixels, degrees: float, scale: float = 1) -> Pixels:
    """Rotate and enlarge about the center of the image."""
    height, width = image.shape[:2]
    center = ((width - 1) / 2, (height - 1) / 2)
    return _warp(image, cv2.getRotationMatrix2D(center, degrees, scale))


def _warp(image: Pixels, matrix: np.ndarray) -> Pixels:
    """Move the pixels; the outside of the image is black, as in training."""
    height, width = image.shape[:2]
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


def _darken(image: Pixels, lost: float) -> Pixels:
    return np.asarray(np.rint(image * (1 - lost)), np.uint8)


def _color(image: Pixels, turns: float) -> Pixels:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # The hue is a circle of 256 steps, so the overflow of uint8 is correct.
    hsv[:, :, 0] += np.uint8(round(turns * 256) % 256)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


def _blur(image: Pixels, sigma: float) -> Pixels:
    return np.asarray(
        cv2.GaussianBlur(image, (0, 0), sigma * max(image.shape[:2]) / BLUR_SIDE), np.uint8
    )


_DISTORTIONS: dict[str, tuple[Callable[[Pixels, float], Pixels], float, Callable[[float], str]]] = {
    "rotate": (_rotate, 90, lambda degrees: f"{degrees:g} degrees"),
    "translate": (_translate, 0.25, lambda fraction: f"{fraction * 100:g} % of the side"),
    "darken": (_darken, 0.5, lambda lost: f"{lost * 100:g} % darker"),
    "color": (_color, 0.25, lambda turns: f"hue by {turns:g} turns"),
    "blur": (_blur, 4, lambda sigma: f"sigma {sigma / BLUR_SIDE * 100:g} % of the side"),
    "zoom": (
        lambda image, above_one: _rotate(image, 0, 1 + above_one),
        0.5,
        lambda above_one: f"{1 + above_one:g} times",
    ),
}
"""By name: the function that applies a strength, a strong one, and the strength in words."""
