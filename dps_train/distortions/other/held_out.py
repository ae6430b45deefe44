"""Changes that no training sees; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_train.distortions.other.filters import each

WORST_RATE, BEST_RATE = 8, 400
"""Compressed size of JPEG 2000, in thousandths."""

RAY_WIDTH = 0.15
GLOW = 0.18
"""Width of a flare's rays in radians, and radius of its glow as a share of the side."""

STREAKS = 0.05
"""Rain streaks per pixel, at most."""

DOTS = 4
"""Side in pixels of the cells of a halftone."""

STEP = 0.12
"""Largest step at a seam, as a share of the side."""


def jpeg2000(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Compress as JPEG 2000."""

    def compressed(pixels: Pixels, level: float) -> Pixels:
        if level == 0:
            return pixels
        rate = round(BEST_RATE * (WORST_RATE / BEST_RATE) ** level)
        _, data = cv2.imencode(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, rate])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return each(compressed, images, strength)


def flare(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add the glow and the rays of a light in the picture."""
    side = images.shape[-1]
    line = (torch.arange(side) + 0.5) / side
    place = 0.2 + 0.6 * torch.rand(len(images), 2, generator=generator)
    down = line[:, None] - place[:, 0, None, None]
    across = line - place[:, 1, None, None]
    distance = (down.square() + across.square()).sqrt()
    angle = torch.atan2(down, across)
    rays = torch.exp(-((torch.remainder(angle, math.pi / 3) - math.pi / 6) / RAY_WIDTH).square())
    light = torch.exp(-distance / GLOW) * (1 + rays)
    tint = torch.tensor([1.0, 0.9, 0.7])[:, None, None]
    added = strength.view(-1, 1, 1, 1) * light[:, None] * tint
    return (images + added).clamp(0, 1)


def rain(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Draw slanted bright streaks: more of them as it gets stronger."""
    seeds = torch.randint(2**31, (len(images),), generator=generator).tolist()
    drawn = []
    for image, level, seed in zip(images, strength.tolist(), seeds, strict=True):
        rng, side = np.random.default_rng(seed), image.shape[-1]
        layer = np.zeros((side, side), np.float32)
        length, slant = side / 8, rng.uniform(-0.4, 0.4)
        starts = rng.uniform(-length, side, (round(STREAKS * side * side), 2))
        for left, top in starts[: round(level * len(starts))]:
            end = (round(left + slant * length), round(top + length))
            cv2.line(layer, (round(left), round(top)), end, 0.7, 1, cv2.LINE_AA)
        mask = torch.from_numpy(layer).clamp(0, 1)
        drawn.append(image + (0.85 - image) * mask)
    return torch.stack(drawn)


def halftone(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend in a print of dots that grow with the darkness."""
    side = images.shape[-1]
    wave = torch.cos((torch.arange(side) + 0.5) * (2 * math.pi / DOTS))
    screen = 0.5 + 0.25 * (wave[:, None] + wave)
    printed = (images > screen).float()
    return images + (printed - images) * strength.view(-1, 1, 1, 1)


def seam(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Shift everything right of a line down, as where two pictures are stitched."""
    side = images.shape[-1]
    line = (0.25 + 0.5 * torch.rand(len(images), generator=generator)) * side
    right = torch.arange(side) > line[:, None]
    shifted = []
    for image, level in zip(images, strength.tolist(), strict=True):
        rows = (torch.arange(side) - round(level * STEP * side)).clamp(min=0)
        shifted.append(image[:, rows])
    return torch.where(right[:, None, None, :], torch.stack(shifted), images)
