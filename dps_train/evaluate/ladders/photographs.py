"""The photographs that ladders change, at the size that they are measured at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from dps_infer.arrays import Pixels
from dps_infer.errors import UsageError
from dps_train.data.datasets import DATASETS
from dps_train.data.sources import folder_images, load_held_out, read_pixels
from dps_train.seeds import generator_for

SMALLEST_SIDE = 128
"""Pixels. Changes of geometry need a margin of about 30 pixels around their reference."""

FEWEST = 2
"""Another picture has to come from somewhere, and evenness compares photographs."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph to change.

    Attributes:
        name: its path within the folder, or its place in a data set.
        pixels: uint8 RGB [H, W, 3].
        other: another photograph, cropped to the same shape.
        seed: of everything random that is done to it.
    """

    name: str
    pixels: Pixels
    other: Pixels
    seed: int

    def generator(self, purpose: str) -> torch.Generator:
        """Return a generator for one kind of change; it is the same at every step of a ladder."""
        return generator_for(f"ladder {purpose} of {self.name}", self.seed)

    def uniform(self, purpose: str, count: int) -> list[float]:
        """Draw numbers in [0, 1) for one kind of change, the same at every step of a ladder."""
        return torch.rand(count, generator=self.generator(purpose), dtype=torch.float64).tolist()


def load_photographs(
    data: str, count: int, *, seed: int = 0, megapixels: float | None = None
) -> list[Photograph]:
    """Read photographs, at most `count` of them, drawn by the seed.

    Args:
        data: a folder, or another source that `dps_train.data.sources.load_held_out` knows.
        count: the most to read, at least `FEWEST`.
        seed: of the draw and of the changes.
        megapixels: scale each to about this size; None keeps its own.

    Raises:
        UsageError: fewer than `FEWEST`, or one that is too small.
        ImageError: one cannot be read.
    """
    named = [(name, _scaled(pixels, megapixels)) for name, pixels in _read(data, count, seed)]
    if len(named) < FEWEST:
        raise UsageError(
            f"{data} holds {len(named)} image{'s' * (len(named) != 1)}: ladders need at least "
            f"{FEWEST}, since another picture is one of the changes"
        )
    for name, pixels in named:
        height, width = pixels.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            raise UsageError(
                f"{name} has {width} x {height} pixels: ladders need at least {SMALLEST_SIDE} on "
                "each side; take it out, or give --megapixels"
            )
    return [
        Photograph(name, pixels, _covering(named[(row + 1) % len(named)][1], pixels.shape), seed)
        for row, (name, pixels) in enumerate(named)
    ]


def _read(data: str, count: int, seed: int) -> list[tuple[str, Pixels]]:
    if data == "sample" or data in DATASETS:
        images = load_held_out(data, generator_for("held-out images", seed)).images
        return [(f"{data} {row + 1}", images[row]) for row in _drawn(len(images), count, seed)]
    folder = Path(data)
    # A folder is listed before it is read: it may hold far more than is drawn.
    paths: Sequence[Path] = folder_images(folder)
    if not folder.is_dir() or not paths:
        load_held_out(data, generator_for("held-out images", seed))
    chosen = [paths[row] for row in _drawn(len(paths), count, seed)]
    return [(path.relative_to(folder).as_posix(), read_pixels(path)) for path in chosen]


def _drawn(available: int, count: int, seed: int) -> list[int]:
    order = torch.randperm(available, generator=generator_for("photographs of ladders", seed))
    return sorted(order[:count].tolist())


def _scaled(pixels: Pixels, megapixels: float | None) -> Pixels:
    if megapixels is None:
        return pixels
    height, width = pixels.shape[:2]
    factor = math.sqrt(megapixels * 1e6 / (height * width))
    return _resized(pixels, round(height * factor), round(width * factor))


def _covering(pixels: Pixels, shape: Sequence[int]) -> Pixels:
    """Scale a photograph until it covers a height and width, and crop it to them."""
    height, width = shape[:2]
    factor = max(height / pixels.shape[0], width / pixels.shape[1])
    scaled = pixels
    if factor != 1:
        scaled = _resized(
            pixels,
            max(height, round(pixels.shape[0] * factor)),
            max(width, round(pixels.shape[1] * factor)),
        )
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    smaller = height * width < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), np.uint8)
