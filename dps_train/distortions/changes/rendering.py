"""The same page, rendered anew: letters are smoothed or placed otherwise, a part lies elsewhere.

Two browsers, versions of one, and machines differ so, though they show the same content.
"""

from __future__ import annotations

import cv2
import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_train.distortions.changes.draw import Scene, between, rounded
from dps_train.distortions.changes.elements import elements
from dps_train.distortions.changes.geometry import SAMPLERS

BESIDE = 0.8
"""Largest distance in pixels of a word from its place, along the line."""

DRIFT = 0.012
"""Standard deviation of how much longer a line becomes, as a share."""

LOWER = 0.3
"""Share of renderings whose words are higher or lower by up to half a pixel, too."""

EXTRA = 2
"""Pixels around an element that are rendered with it."""

WEIGHT = 0.2
"""Standard deviation of the logarithm of the exponent that makes letters bolder or thinner."""

SOFTER, SHARPER = (0.45, 1.0), (0.4, 1.5)
"""Sigmas of the blur of softer letters, and gains of sharper ones: more than interpolation
softens."""

SHARPENED = 0.8
"""Sigma of the blur whose difference makes letters sharper."""

FRINGES = 0.2
"""Share of renderings that smooth letters in color, a third of a pixel to each side."""

FIRST = (0.0, 0.5)
"""Where a part that moved begins, as a share of the side."""

DISTANCE = (0.2, 12.0)
"""Pixels that a part moves."""


def rendered_anew(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Floats, int]:
    """Render the letters of a page anew.

    Returns:
        The page, 1 where it was rendered anew [H, W], and 1 if its letters are softer, -1 if they
        are sharper, 0 if they are neither.
    """
    height, width = pixels.shape[:2]
    softness, exponent = int(rng.integers(-1, 2)), float(np.exp(WEIGHT * rng.standard_normal()))
    sigma, gain = between(*SOFTER, rng.random()), between(*SHARPER, rng.random())
    fringes = 1 / 3 if rng.random() < FRINGES else 0.0
    lower, drift = rng.random() < LOWER, DRIFT * rng.standard_normal()
    before, changed = pixels.astype(np.float32), pixels.astype(np.float32)
    part = np.zeros((height, width), np.float32)
    for top, left, tall, wide in elements(pixels, rng) or [(0, 0, height, width)]:
        inside = np.s_[
            max(0, top - EXTRA) : min(height, top + tall + EXTRA),
            max(0, left - EXTRA) : min(width, left + wide + EXTRA),
        ]
        rows, columns = (axis.astype(np.float32) for axis in np.mgrid[inside])
        across = rng.uniform(-BESIDE, BESIDE) + drift * (columns - left)
        down = rng.uniform(-0.5, 0.5) if lower else 0.0
        channels = [
            cv2.remap(
                before[..., channel],
                (columns + across + fringes * (channel - 1)).astype(np.float32),
                (rows + down).astype(np.float32),
                cv2.INTER_LANCZOS4,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for channel in range(3)
        ]
        moved = _reweighted(np.dstack(channels).astype(np.float32), exponent)
        if softness > 0:
            moved = _blurred(moved, sigma)
        elif softness < 0:
            moved = moved + np.float32(gain) * (moved - _blurred(moved, SHARPENED))
        changed[inside], part[inside] = moved, 1
    return rounded(changed), part, softness


def _blurred(values: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _reweighted(values: Floats, exponent: float) -> Floats:
    """Make letters bolder (an exponent below 1) or thinner: change how much of the paper shows."""
    paper = np.median(values, axis=(0, 1))
    ink = values - paper
    most = np.abs(ink).max() or 1.0
    return paper + most * np.sign(ink) * (np.abs(ink) / most) ** np.float32(exponent)


def part_moved(scene: Scene, rng: np.random.Generator) -> tuple[Pixels, Floats]:
    """Move the part of a page that begins at a line: below, to the right of it, or both.

    Returns:
        The middle of the page, and 1 in the part that moved [side, side]. Beside the line, what
        comes into view has the color of the part's edge.
    """
    pixels = scene.pixels
    below, beside = ((True, False), (False, True), (True, True))[int(rng.integers(3))]
    top, left = (
        along.start + int(scene.side * share)
        for along, share in zip(scene.inside, rng.uniform(*FIRST, 2), strict=True)
    )
    inside = np.s_[top if below else 0 :, left if beside else 0 :]
    distance = between(*DISTANCE, rng.random())
    if rng.random() < 0.5:
        distance = float(max(1, round(distance)))
    direction = 1 if rng.random() < 0.8 else -1
    straight = rng.random() < 0.8
    axis = int(rng.integers(2))
    shift = [direction * distance if not straight or axis == n else 0.0 for n in range(2)]
    region = np.ascontiguousarray(pixels[inside])
    moved = cv2.warpAffine(
        region,
        np.array([[1, 0, shift[0]], [0, 1, shift[1]]]),
        (region.shape[1], region.shape[0]),
        flags=SAMPLERS[int(rng.integers(len(SAMPLERS)))],
        borderMode=cv2.BORDER_REPLICATE,
    )
    changed, part = pixels.copy(), np.zeros(pixels.shape[:2], np.float32)
    changed[inside], part[inside] = moved, 1
    return scene.middle(changed), part[scene.inside]
