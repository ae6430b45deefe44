"""Images that are drawn, the same on every machine: NumPy alone, from a seed, in whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def scene(seed: int, height: int, width: int, discs: int = 60) -> Pixels:
    """Draw discs of many sizes and colors on a slope of light, with a fine pattern on some.

    Args:
        seed: of everything that is drawn.
        height: in pixels.
        width: in pixels.
        discs: their number.

    Returns:
        uint8 RGB [H, W, 3].
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.empty((height, width, 3), np.int64)
    image[:] = random.integers(60, 180, 3)
    image += (40 * (rows + columns) // (height + width))[..., None]
    for _ in range(discs):
        radius = int(random.integers(2, 2 + max(3, min(height, width) // 4)))
        top, left = random.integers(0, (height, width))
        inside = (rows - top) ** 2 + (columns - left) ** 2 <= radius**2
        color = random.integers(20, 236, 3)
        pattern = random.integers(-15, 16, inside.shape) if random.integers(0, 3) == 0 else 0
        image[inside] = color + np.broadcast_to(pattern, inside.shape)[inside][:, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def darker(image: Pixels, percent: int = 80) -> Pixels:
    """Return an image with values of so many percent, rounded down."""
    return (image.astype(np.int64) * percent // 100).astype(np.uint8)


def noisy(image: Pixels, seed: int, largest: int = 14) -> Pixels:
    """Return an image with uniform noise of whole numbers."""
    noise = np.random.default_rng(seed).integers(-largest, largest + 1, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def softer(image: Pixels, radius: int = 2) -> Pixels:
    """Return the mean over a square around each pixel, rounded; borders are repeated."""
    side = 2 * radius + 1
    wide = np.pad(image.astype(np.int64), ((radius, radius), (radius, radius), (0, 0)), "edge")
    height, width = image.shape[:2]
    total = sum(
        wide[down : down + height, across : across + width]
        for down in range(side)
        for across in range(side)
    )
    return np.asarray((total + side**2 // 2) // side**2, np.uint8)


def tinted(image: Pixels, red: int = 24, blue: int = -24) -> Pixels:
    """Return an image with more red and less blue."""
    return np.clip(image + np.array([red, 0, blue]), 0, 255).astype(np.uint8)


def with_disc(image: Pixels, top: int, left: int, radius: int) -> Pixels:
    """Return an image with another disc on it."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    changed = image.copy()
    changed[(rows - top) ** 2 + (columns - left) ** 2 <= radius**2] = (230, 40, 60)
    return changed
