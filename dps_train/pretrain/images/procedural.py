"""Procedural images: plain colors, gradients, noise and skies.

Public functions take the side in pixels and a random generator, and return uint8 RGB
[side, side, 3].
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_train.pretrain.images.painting import (
    Color,
    as_color,
    as_image,
    random_color,
    random_point,
    to_pixels,
)


def plain(side: int, rng: np.random.Generator) -> Pixels:
    """Fill with one color."""
    return np.full((side, side, 3), random_color(rng), dtype=np.uint8)


def gradient(side: int, rng: np.random.Generator) -> Pixels:
    """Blend two colors along a line, around a point, or in waves."""
    slope = _radial(side, rng) if rng.random() < 0.4 else _linear(side, rng)
    if rng.random() < 0.3:
        slope = 0.5 + 0.5 * np.sin(slope * rng.uniform(2, 40))
    return as_image(_between(random_color(rng), random_color(rng), slope))


def fractal_noise(side: int, rng: np.random.Generator) -> Pixels:
    """Draw noise whose amplitude falls with the frequency, as in natural images."""
    contrast = rng.uniform(15, 60)
    return as_image(random_color(rng) + contrast * _fractal(side, rng.uniform(0.5, 1.8), rng))


def sky(side: int, rng: np.random.Generator) -> Pixels:
    """Draw a soft gradient with faint clouds, grain, some specks and often a skyline."""
    horizon = random_color(rng, 60, 255)
    zenith = as_color(np.array(horizon) * rng.uniform(0.4, 1.1) + rng.uniform(-40, 40, 3))
    height = np.linspace(0, 1, side, dtype=np.float32)[:, None] * np.ones(side, dtype=np.float32)
    values = _between(zenith, horizon, height)
    # Clouds are gray: the same shift for every channel.
    values += rng.uniform(1, 9) * _fractal(side, rng.uniform(1.2, 1.8), rng)[..., :1]
    values += rng.uniform(0, 2) * rng.standard_normal(values.shape, dtype=np.float32)
    image = as_image(values)
    for _ in range(rng.integers(0, 5)):
        center = random_point(side, rng)
        axes = (int(rng.integers(1, 2 + side // 24)), int(rng.integers(1, 2 + side // 32)))
        cv2.ellipse(
            image, center, axes, rng.uniform(0, 180), 0, 360, random_color(rng), -1, cv2.LINE_AA
        )
    if rng.random() < 0.6:
        _skyline(image, rng)
    return image


def _between(start: Color, end: Color, share: Floats) -> Floats:
    """Mix two colors, `share` [H, W] of the second: [H, W, 3]."""
    share = share[..., None]
    return np.array(start, np.float32) * (1 - share) + np.array(end, np.float32) * share


def _linear(side: int, rng: np.random.Generator) -> Floats:
    angle = rng.uniform(0, 2 * math.pi)
    axis = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    return _to_unit_range(math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None])


def _radial(side: int, rng: np.random.Generator) -> Floats:
    axis = np.linspace(0, 1, side, dtype=np.float32)
    column, row = rng.random(2, dtype=np.float32)
    return _to_unit_range(np.hypot(axis[None, :] - column, axis[:, None] - row))


def _to_unit_range(values: Floats) -> Floats:
    return (values - values.min()) / max(float(np.ptp(values)), 1e-6)


def _fractal(side: int, fall: float, rng: np.random.Generator) -> Floats:
    """Return noise of mean 0 and deviation 1 per channel: float32 [side, side, 3].

    Its amplitude is the frequency to the power of -fall.
    """
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    # One period per image is the lowest frequency; adding it avoids a division by zero.
    amplitude = (np.hypot(rows, columns) + 1 / side) ** -fall
    # The channels of natural images are correlated: most of the noise is shared.
    white = rng.standard_normal((side, side, 1)) + 0.6 * rng.standard_normal((side, side, 3))
    spectrum = np.fft.rfft2(white, axes=(0, 1)) * amplitude[..., None]
    noise = np.fft.irfft2(spectrum, s=(side, side), axes=(0, 1))
    noise -= noise.mean(axis=(0, 1))
    return (noise / np.maximum(noise.std(axis=(0, 1)), 1e-6)).astype(np.float32)


def _skyline(image: Pixels, rng: np.random.Generator) -> None:
    """Draw hills or roofs along the bottom of the image."""
    side = len(image)
    corners = int(rng.integers(4, 16))
    columns = np.linspace(-1, side, corners)
    rows = side * (rng.uniform(0.5, 0.9) + rng.uniform(-0.12, 0.12, corners))
    if rng.random() < 0.4:
        columns, rows = np.repeat(columns, 2)[1:], np.repeat(rows, 2)[:-1]
    outline = np.stack([columns, rows], axis=1)
    outline = np.concatenate([outline, [[side, side], [-1, side]]])
    color = random_color(rng, 0, 140)
    cv2.fillPoly(image, [to_pixels(outline)], color, cv2.LINE_AA)
