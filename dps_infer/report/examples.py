"""What a context holds to be disruptive, in pictures: each distortion at one strength.

The strengths are those at which the amount of a distortion is 1 (`manifest.DistortionInfo`),
so that the distances of the pictures show what the context makes of equal amounts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from dps_infer.compare.metric import Metric
from dps_infer.images.decode import Pixels
from dps_infer.model.view import View
from dps_infer.report.pictures import shrink

SIDE = 256
"""Longest side in pixels of the image that is distorted."""

BLUR_SIDE = 64
"""The strength of a blur is its sigma on an image of so many pixels."""


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


def examples(metric: Metric, image: Pixels, *, view: View | None = None) -> list[Example]:
    """Distort an image in each way that the context names, and measure how far that is.

    Args:
        metric: what to measure in.
        image: uint8 RGB [H, W, 3]; a large one is shrunk first.
        view: as in `Metric.compare`.

    Returns:
        The image itself, then the closest first. Distortions of names that are unknown here
        are left out.
    """
    small = shrink(image, SIDE)
    found = [Example("", "the image itself", small, 0.0)]
    for distortion in metric.manifest.metric.distortions:
        if distortion.name in _WAYS:
            apply, words = _WAYS[distortion.name]
            changed = apply(small, distortion.reference)
            distance = metric.compare(small, changed, view=view).distance
            found.append(Example(distortion.name, words(distortion.reference), changed, distance))
    return sorted(found, key=lambda example: example.distance)


def _rotate(image: Pixels, degrees: float) -> Pixels:
    return _warp(image, *_about_centre(image, degrees=degrees))


def _zoom(image: Pixels, above_one: float) -> Pixels:
    return _warp(image, *_about_centre(image, scale=1 + above_one))


def _translate(image: Pixels, fraction: float) -> Pixels:
    return _warp(image, np.eye(2), np.array([fraction * image.shape[1], 0]))


def _about_centre(
    image: Pixels, *, degrees: float = 0, scale: float = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return the turn and the shift that map (x, y) about the middle of the image."""
    angle = math.radians(degrees)
    turn = scale * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    centre = (np.array(image.shape[1::-1]) - 1) / 2
    return turn, centre - turn @ centre


def _warp(image: Pixels, turn: np.ndarray, shift: np.ndarray) -> Pixels:
    """Move the pixels; what comes in from outside is black, as in training."""
    height, width = image.shape[:2]
    matrix = np.column_stack([turn, shift])
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


def _darken(image: Pixels, lost: float) -> Pixels:
    return np.asarray(np.rint(image * (1 - lost)), np.uint8)


def _color(image: Pixels, turns: float) -> Pixels:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # The hue is a circle of 256 steps: it wraps around by itself.
    hsv[:, :, 0] += np.uint8(round(turns * 256) % 256)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


def _blur(image: Pixels, sigma: float) -> Pixels:
    wide = sigma * max(image.shape[:2]) / BLUR_SIDE
    return np.asarray(cv2.GaussianBlur(image, (0, 0), wide), np.uint8)


_WAYS: dict[str, tuple[Callable[[Pixels, float], Pixels], Callable[[float], str]]] = {
    "rotate": (_rotate, lambda degrees: f"{degrees:g} degrees"),
    "translate": (_translate, lambda fraction: f"{fraction * 100:g} % of the side"),
    "darken": (_darken, lambda lost: f"{lost * 100:g} % darker"),
    "color": (_color, lambda turns: f"hue by {turns:g} turns"),
    "blur": (_blur, lambda sigma: f"sigma {sigma / BLUR_SIDE * 100:g} % of the side"),
    "zoom": (_zoom, lambda above_one: f"{1 + above_one:g} times"),
}
"""By name: how a strength is applied, and how it is said."""
