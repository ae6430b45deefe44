"""Changes of geometry: a part is cut out of the photograph after it was moved.

The reference is the middle of the photograph. Pixels that a change moves into the middle come from
the photograph around it, so that no border shows. They are sampled by cubic interpolation at exact
positions.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_train.evaluate.ladders.photographs import Photograph

LARGEST_TURN = 10.0
"""Degrees, of the steps that `crop` has room for."""

LARGEST_SHIFT = 24.0
"""Pixels, along each side."""

KERNEL = 2
"""Pixels on each side that cubic interpolation reads."""


def crop(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the middle that the largest steps still fill.

    >>> crop(321, 481)
    (254, 381)
    """
    cosine, sine = (f(math.radians(LARGEST_TURN)) for f in (math.cos, math.sin))
    across, down = width - 2 * KERNEL, height - 2 * KERNEL
    share = min(across / (width * cosine + height * sine), down / (width * sine + height * cosine))
    margin = 2 * (math.ceil(LARGEST_SHIFT) + KERNEL)
    return min(int(height * share), height - margin), min(int(width * share), width - margin)


def middle(pixels: Pixels) -> Pixels:
    """Return the reference of geometric changes: the middle of a photograph."""
    top, left, height, width = _box(pixels)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def rotate(photograph: Photograph, degrees: float) -> Pixels:
    """Turn about the middle, clockwise or not as drawn once for all steps."""
    (draw,) = photograph.uniform("rotate", 1)
    angle = math.radians(degrees if draw < 0.5 else -degrees)
    y, x = _positions(photograph.pixels)
    cosine, sine = math.cos(angle), math.sin(angle)
    return _sampled(photograph.pixels, sine * x + cosine * y, cosine * x - sine * y)


def enlarge(photograph: Photograph, percent: float) -> Pixels:
    """Enlarge about the middle."""
    y, x = _positions(photograph.pixels)
    factor = 1 + percent / 100
    return _sampled(photograph.pixels, y / factor, x / factor)


def shift(photograph: Photograph, distance: float) -> Pixels:
    """Shift by a distance in pixels, in a direction that is drawn once for all steps."""
    (draw,) = photograph.uniform("shift", 1)
    y, x = _positions(photograph.pixels)
    angle = 2 * math.pi * draw
    return _sampled(
        photograph.pixels, y + distance * math.sin(angle), x + distance * math.cos(angle)
    )


def bend(photograph: Photograph, amplitude: float) -> Pixels:
    """Bend rows and columns along sines of this amplitude in pixels.

    Periods, about half of the shorter side, and phases are drawn once for all steps.
    """
    draw = photograph.uniform("bend", 4)
    y, x = _positions(photograph.pixels)
    shorter = min(photograph.pixels.shape[:2])
    first, second = (shorter * (0.4 + 0.2 * part) for part in draw[:2])
    down = amplitude * torch.sin(2 * math.pi * (x / first + draw[2]))
    across = amplitude * torch.sin(2 * math.pi * (y / second + draw[3]))
    return _sampled(photograph.pixels, y + down, x + across)


def mirror(pixels: Pixels) -> Pixels:
    """Exchange left and right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def upside_down(pixels: Pixels) -> Pixels:
    """Turn by 180 degrees."""
    return np.ascontiguousarray(pixels[::-1, ::-1])


def _box(pixels: Pixels) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the middle."""
    height, width = crop(*pixels.shape[:2])
    return (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2, height, width


def _positions(pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Return rows [h, 1] and columns [1, w] of the middle's pixels, from its own center."""
    _, _, height, width = _box(pixels)
    rows = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return rows[:, None], columns[None]


def _sampled(pixels: Pixels, rows: Tensor, columns: Tensor) -> Pixels:
    """Return the pixels at positions [h, w], from the middle's center, by cubic interpolation."""
    top, left, height, width = _box(pixels)
    rows, columns = torch.broadcast_tensors(rows, columns)
    y = rows + top + (height - 1) / 2
    x = columns + left + (width - 1) / 2
    # grid_sample counts from -1 at the first pixel to 1 at the last one.
    grid = torch.stack(
        [2 * x / (pixels.shape[1] - 1) - 1, 2 * y / (pixels.shape[0] - 1) - 1], dim=-1
    )
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    sampled = F.grid_sample(
        planes, grid[None].float(), mode="bicubic", padding_mode="border", align_corners=True
    )
    return sampled[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
