"""Turns, shifts, scaling, bending and mirroring."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike

from dps_infer.arrays import Pixels
from dps_train.distortions.changes.draw import UNKNOWN, Draw, Scene, between

SAMPLERS = (cv2.INTER_LANCZOS4, cv2.INTER_CUBIC, cv2.INTER_LINEAR)
TURN = (0.06, 15.0)
"""Degrees."""

SHIFT = (0.2, 0.12)
"""Pixels, and share of the side."""

SCALE = (0.002, 0.3)
BEND = (0.3, 0.1)
"""Pixels, and share of the side."""


def rotate(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Turn about the middle; positive is clockwise."""
    if draw.mode % 7 < 2:
        degrees = draw.sign * max(TURN[1], 180 * draw.share)
        quarters = round(degrees / 90)
        if draw.mode % 7 == 0 and quarters:
            return np.ascontiguousarray(np.rot90(pixels, -quarters)), 90.0 * abs(quarters)
    else:
        degrees = draw.sign * between(*TURN, draw.share)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _affine(pixels, [[cosine, sine], [-sine, cosine]], (0, 0), draw), abs(degrees)


def translate(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Shift in any direction, at times by whole pixels."""
    distance = between(SHIFT[0], SHIFT[1] * scene.side, draw.share)
    shift = np.array([math.cos(draw.angle), math.sin(draw.angle)]) * distance
    if draw.mode % 3 == 0 and distance >= 1:
        shift = np.rint(shift)
    return _affine(pixels, np.eye(2), -shift, draw), float(np.hypot(*shift))


def zoom(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Enlarge about the middle, or shrink."""
    factor = (1 + between(*SCALE, draw.share)) ** draw.sign
    return _affine(pixels, np.eye(2) / factor, (0, 0), draw), 100 * abs(factor - 1)


def warp(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Bend smoothly, bend in waves, or change the perspective."""
    height, width = pixels.shape[:2]
    rng = draw.rng()
    reach = between(BEND[0], BEND[1] * scene.side, draw.share)
    variant = draw.mode % 4
    if variant == 0:
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        pulled = corners + 1.5 * reach * rng.uniform(-1, 1, (4, 2)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(corners, pulled.astype(np.float32))
        bent = cv2.warpPerspective(
            pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        return np.asarray(bent, np.uint8), UNKNOWN
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    if variant == 1:
        coarse = rng.standard_normal((4, 4, 2)).astype(np.float32)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        field = field * (reach / np.abs(field).max())
        across, down = field[..., 0], field[..., 1]
    else:
        periods, phases = scene.side * rng.uniform(0.3, 0.9, 2), rng.uniform(0, 2 * math.pi, 2)
        across = reach * np.sin(2 * math.pi * rows / periods[0] + phases[0])
        down = reach * np.sin(2 * math.pi * columns / periods[1] + phases[1])
    bent = cv2.remap(
        pixels, (columns + across).astype(np.float32), (rows + down).astype(np.float32),
        cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    return np.asarray(bent, np.uint8), UNKNOWN


def mirror(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Exchange left and right, or at times top and bottom."""
    flipped = pixels[:, ::-1] if draw.mode % 4 else pixels[::-1]
    return np.ascontiguousarray(flipped), UNKNOWN


def _affine(pixels: Pixels, matrix: ArrayLike, shift: ArrayLike, draw: Draw) -> Pixels:
    """Take each pixel from `matrix` times its place, plus a shift, both from the middle."""
    height, width = pixels.shape[:2]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    linear = np.asarray(matrix, np.float64)
    offset = center + np.asarray(shift, np.float64) - linear @ center
    moved = cv2.warpAffine(
        pixels,
        np.column_stack([linear, offset]),
        (width, height),
        flags=SAMPLERS[draw.mode % len(SAMPLERS)] | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[draw.mode // 3 % len(BORDERS)],
    )
    return np.asarray(moved, np.uint8)


BORDERS = (cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT)
"""How an uncovered border shows where there are no surroundings."""
