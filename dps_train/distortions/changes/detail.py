"""Changes of detail: blur and sharpening, noise, and compression."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_train.distortions.changes.draw import UNKNOWN, Draw, Scene, between, rounded

SIGMA = (0.3, 9.0)
"""Pixels, of a blur."""

SHARPENING = (0.1, 7.5)
SHARPENED = (0.6, 1.0, 1.0, 1.5, 2.5)
"""Sigma in pixels of the blur whose difference is added."""

NOISE = (0.7, 64.0)
"""Standard deviation, of 255."""

WORST_QUALITY, BEST_QUALITY = 2, 97
SMOOTH = cv2.BORDER_REFLECT


def blur(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Blur with a Gaussian, at times otherwise; the other way, sharpen."""
    values = pixels.astype(np.float32)
    if draw.sign < 0:
        gain = between(*SHARPENING, draw.share)
        soft = cv2.GaussianBlur(values, (0, 0), SHARPENED[draw.mode % 5], borderType=SMOOTH)
        return rounded(values + gain * (values - soft)), UNKNOWN
    sigma, variant = between(*SIGMA, draw.share), draw.mode % 14
    if variant < 7:
        return rounded(cv2.GaussianBlur(values, (0, 0), sigma, borderType=SMOOTH)), sigma
    side = 2 * int(sigma) + 3
    if variant == 7:
        return rounded(cv2.boxFilter(values, -1, (side, side), borderType=SMOOTH)), UNKNOWN
    if variant < 10:
        return _median(pixels, 2 * sigma), UNKNOWN
    if variant == 10:
        return _smear(values, side, draw.angle), UNKNOWN
    height, width = pixels.shape[:2]
    factor = 1.2 + 7 * draw.share
    small = max(4, round(width / factor)), max(4, round(height / factor))
    shrunk = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    method = cv2.INTER_LINEAR if variant == 11 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=method)), UNKNOWN


def _median(pixels: Pixels, side: float) -> Pixels:
    """Take the median of squares; a side between two odd numbers mixes both."""
    small = max(0, int((side - 1) / 2))
    sides = 2 * small + 1, 2 * small + 3
    one, two = (cv2.medianBlur(pixels, s).astype(np.float32) if s > 1 else pixels for s in sides)
    share = np.float32(np.clip((side - sides[0]) / 2, 0.1, 1))
    return rounded(one + (two - one.astype(np.float32)) * share)


def _smear(values: Floats, length: int, angle: float) -> Pixels:
    """Average along a line."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), math.degrees(angle), 1)
    line = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return rounded(cv2.filter2D(values, -1, line / line.sum(), borderType=SMOOTH))


def noise(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Add noise: Gaussian in color or gray, even, in proportion to light, or salt and pepper."""
    rng, variant = draw.rng(), draw.mode % 10
    sigma = between(*NOISE, draw.share)
    values = pixels.astype(np.float32)
    if variant == 7:
        place, rare = rng.random(pixels.shape[:2]), 0.15 * draw.share**2
        salted = pixels.copy()
        salted[place < rare], salted[place > 1 - rare] = 0, 255
        return salted, UNKNOWN
    if variant == 8:
        half = math.sqrt(3)
        return rounded(values + sigma * rng.uniform(-half, half, pixels.shape)), UNKNOWN
    planes = 1 if variant in (5, 6) else 3
    field = rng.standard_normal((*pixels.shape[:2], planes)).astype(np.float32)
    if variant == 9:
        return rounded(values + values / 128 * sigma * field), UNKNOWN
    return rounded(values + sigma * field), sigma


def compression(pixels: Pixels, draw: Draw, scene: Scene) -> tuple[Pixels, float]:
    """Compress as JPEG or WebP, round to few levels, or show blocks."""
    variant = draw.mode % 14
    if variant == 11 or variant == 12:
        levels = between(128, 2, draw.share)
        step = np.float32(255 / (levels - 1))
        return rounded(np.round(pixels / step) * step), UNKNOWN
    if variant == 13:
        return _blocks(pixels, 1 + 12 * draw.share), UNKNOWN
    quality = round(BEST_QUALITY + (WORST_QUALITY - BEST_QUALITY) * draw.share)
    if variant < 8:
        return jpeg(pixels, quality, full_chroma=bool(variant % 2)), float(quality)
    return _through(pixels, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]), UNKNOWN


def jpeg(pixels: Pixels, quality: int, *, full_chroma: bool = False) -> Pixels:
    """Compress as JPEG, with chroma at half or at full resolution."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if full_chroma:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _through(pixels, ".jpg", options)


def _blocks(pixels: Pixels, side: float) -> Pixels:
    height, width = pixels.shape[:2]
    cells = max(4, int(width / side))
    small = cv2.resize(pixels, (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def _through(pixels: Pixels, suffix: str, options: list[int]) -> Pixels:
    _, data = cv2.imencode(suffix, np.ascontiguousarray(pixels[..., ::-1]), options)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
