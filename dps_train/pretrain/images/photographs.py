"""Crops of the photographs that scikit-image bundles, in varied sizes and colors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.data.sources import photograph
from dps_train.pretrain.images.painting import as_image, resized

PHOTOGRAPH_SHARES = {
    "astronaut": 6.0,
    "coffee": 6.0,
    "motorcycle": 8.0,
    "hubble_deep_field": 1.5,
    "retina": 1.5,
    "camera": 3.0,
    "grass": 1.0,
    "brick": 1.0,
    "gravel": 1.0,
    "immunohistochemistry": 2.0,
    "coins": 1.5,
    "clock": 1.0,
    "moon": 0.5,
    "cell": 0.5,
    "colorwheel": 0.7,
    "logo": 0.7,
    "page": 0.5,
    "text": 0.5,
}
"""Relative frequencies: rich scenes often, textures seldom. All are part of scikit-image's wheel.
Its `cat` is `chelsea`, which is held out."""

NATIVE_SHARE = 0.25
"""Share of crops at the resolution of the photograph."""

RECOLORED_SHARE = 0.35

FAINTEST_CONTRAST = 8.0
"""Largest standard deviation of a channel, in gray levels, below which a crop is drawn again."""

MOST_TRIES = 5

THUMBNAIL_SHARES = (0.25, 0.75)
"""Range of a thumbnail's side before it is enlarged, as a share of the image's side."""


@dataclass(frozen=True)
class Photographs:
    """Photographs to crop from, and the probability of each."""

    images: tuple[Pixels, ...]
    probabilities: tuple[float, ...]


def load_photographs() -> Photographs:
    """Load the photographs; ImageError if scikit-image does not have one of them."""
    total = sum(PHOTOGRAPH_SHARES.values())
    return Photographs(
        tuple(photograph(name) for name in PHOTOGRAPH_SHARES),
        tuple(share / total for share in PHOTOGRAPH_SHARES.values()),
    )


def photograph_crop(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Crop a part of any size, some at 1:1, some recolored: uint8 RGB [side, side, 3]."""
    native = rng.random() < NATIVE_SHARE
    return _crop_with_contrast(photographs, side, rng, native=native)


def thumbnail(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Shrink a crop and enlarge it again, smoothly or in blocks: uint8 RGB [side, side, 3]."""
    crop = _crop_with_contrast(photographs, side, rng, native=False)
    small = resized(crop, max(1, round(side * rng.uniform(*THUMBNAIL_SHARES))))
    interpolation = rng.choice(
        [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST], p=[0.55, 0.3, 0.15]
    )
    enlarged = cv2.resize(small, (side, side), interpolation=int(interpolation))
    return np.asarray(enlarged, dtype=np.uint8)


def recolored(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary brightness, hue, tint, saturation and contrast."""
    values = image.astype(np.float32) / 255
    values = values ** math.exp(0.35 * rng.standard_normal())
    values = values[..., rng.permutation(3)]
    values = values * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    gray = values.mean(axis=2, keepdims=True)
    values = gray + (values - gray) * math.exp(0.3 * rng.standard_normal())
    mean = values.mean(axis=(0, 1))
    return as_image(255 * (mean + (values - mean) * rng.uniform(0.6, 1.3)))


def _crop_with_contrast(
    photographs: Photographs, side: int, rng: np.random.Generator, *, native: bool
) -> Pixels:
    for _ in range(MOST_TRIES):
        choice = rng.choice(len(photographs.images), p=photographs.probabilities)
        crop = _crop(photographs.images[choice], side, rng, native=native)
        if crop.std(axis=(0, 1)).max() >= FAINTEST_CONTRAST:
            break
    return recolored(crop, rng) if rng.random() < RECOLORED_SHARE else crop


def _crop(image: Pixels, side: int, rng: np.random.Generator, *, native: bool) -> Pixels:
    longest = min(image.shape[:2])
    shortest = min(side, longest)
    height = width = shortest
    if not native:
        height = round(math.exp(rng.uniform(math.log(shortest), math.log(longest))))
        stretch = math.exp(0.25 * rng.standard_normal())
        width = int(np.clip(height * stretch, shortest, image.shape[1]))
    top = rng.integers(0, image.shape[0] - height + 1)
    left = rng.integers(0, image.shape[1] - width + 1)
    crop = resized(image[top : top + height, left : left + width], side)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop
