"""Collages of opaque shapes, filled from photographs and procedural textures.

They have many occlusions between surfaces of any kind, at edges of any shape: more than a few
photographs can show.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_train.pretrain.images.painting import as_image, polygon, random_point, resized, to_pixels
from dps_train.pretrain.images.photographs import Photographs, photograph_crop, recolored
from dps_train.pretrain.images.procedural import fractal_noise, gradient, plain

SMALLEST_RADIUS = 0.06
LARGEST_RADIUS = 0.6
"""Radii of a leaf, as shares of the image's side."""

CANVAS = 1.5
"""Side of the canvas, in sides of the image: it is cropped, or shrunk for finer detail."""


def photograph_collage(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Lay a few leaves over a photograph: uint8 RGB [side, side, 3]."""
    ground = photograph_crop(photographs, round(CANVAS * side), rng)
    return _finished(_covered(ground, int(rng.integers(2, 10)), photographs, rng), side, rng)


def textured_leaves(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Cover everything with leaves of different textures: uint8 RGB [side, side, 3]."""
    ground = _texture(photographs, round(CANVAS * side), rng)
    return _finished(_covered(ground, int(rng.integers(8, 50)), photographs, rng), side, rng)


def mosaic(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    """Join four crops at a point near the middle: uint8 RGB [side, side, 3]."""
    row, column = (side * rng.uniform(0.3, 0.7, 2)).astype(int)
    image = np.empty((side, side, 3), dtype=np.uint8)
    for rows in (slice(0, row), slice(row, side)):
        for columns in (slice(0, column), slice(column, side)):
            quarter = image[rows, columns]
            height, width = quarter.shape[:2]
            quarter[:] = photograph_crop(photographs, max(height, width), rng)[:height, :width]
    return image


def _covered(
    ground: Pixels, leaves: int, photographs: Photographs, rng: np.random.Generator
) -> Pixels:
    for _ in range(leaves):
        # Soft borders: in photographs, pixels at an edge mix both sides.
        cover = _leaf(len(ground), rng)[..., None]
        texture = _texture(photographs, len(ground), rng)
        if rng.random() < 0.3:
            texture = _shaded(texture, rng)
        ground = as_image(ground + (texture.astype(np.float32) - ground) * cover)
    return ground


def _finished(canvas: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        return resized(canvas, side)
    top, left = rng.integers(0, len(canvas) - side + 1, 2)
    return canvas[top : top + side, left : left + side]


def _texture(photographs: Photographs, side: int, rng: np.random.Generator) -> Pixels:
    choice = rng.random()
    if choice < 0.45:
        return recolored(photograph_crop(photographs, side, rng), rng)
    if choice < 0.70:
        return fractal_noise(side, rng)
    if choice < 0.85:
        return gradient(side, rng)
    return plain(side, rng)


def _shaded(texture: Pixels, rng: np.random.Generator) -> Pixels:
    """Add light from above or below."""
    light = np.linspace(rng.uniform(0.3, 1), rng.uniform(0.6, 1.2), len(texture))
    return as_image(texture * light[:, None, None])


def _leaf(side: int, rng: np.random.Generator) -> Floats:
    """Draw an ellipse, a box, a polygon or a bar: float32 [side, side], 1 inside and 0 outside."""
    cover = np.zeros((side, side), dtype=np.uint8)
    radius = side * math.exp(rng.uniform(math.log(SMALLEST_RADIUS), math.log(LARGEST_RADIUS)))
    center = random_point(side, rng)
    shape = rng.integers(4)
    if shape == 0:
        axes = (round(radius), round(radius * rng.uniform(0.3, 1)))
        cv2.ellipse(cover, center, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
    elif shape == 1:
        extent = (1.5 * radius, radius * rng.uniform(0.2, 1.5))
        box = cv2.boxPoints((center, extent, rng.uniform(0, 90)))
        cv2.fillConvexPoly(cover, to_pixels(box), 255, cv2.LINE_AA)
    elif shape == 2:
        cv2.fillPoly(cover, [polygon(center, radius, rng)], 255, cv2.LINE_AA)
    else:
        width = int(rng.integers(1, 2 + side // 16))
        cv2.line(cover, center, random_point(side, rng), 255, width, cv2.LINE_AA)
    return cover.astype(np.float32) / np.float32(255)
