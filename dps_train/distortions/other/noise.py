"""Changes that add noise or a pattern; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def noise(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise with a standard deviation of up to 0.2, independent per channel."""
    deviation = 0.2 * strength.view(-1, 1, 1, 1)
    return (images + deviation * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def grain(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise with a standard deviation of up to 0.25, equal in all channels."""
    deviation = 0.25 * strength.view(-1, 1, 1, 1)
    return (images + deviation * torch.randn(_plane(images), generator=generator)).clamp(0, 1)


def salt(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Set up to a fifth of the pixels to black or white."""
    hit = torch.rand(_plane(images), generator=generator) < 0.2 * strength.view(-1, 1, 1, 1)
    value = (torch.rand(_plane(images), generator=generator) < 0.5).float()
    return torch.where(hit, value, images)


def stripes(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add a sine of up to 0.3, across or down, with a period from 2 pixels to the whole side."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 3, 1, 1, 1, generator=generator)
    position = torch.where(
        draw[:, 2] < 0.5,
        torch.arange(width)[None, None, None] / width,
        torch.arange(height)[None, None, :, None] / height,
    )
    periods = (1 + 0.5 * width * draw[:, 1]).floor()
    phase = 2 * math.pi * (draw[:, 0] + periods * position)
    return (images + 0.3 * strength.view(-1, 1, 1, 1) * torch.sin(phase)).clamp(0, 1)


def blocks(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Shift the level of each block of 8 x 8 pixels by up to a fifth of the range."""
    count, _, height, width = images.shape
    level = torch.rand(count, 3, -(-height // 8), -(-width // 8), generator=generator) - 0.5
    level = level.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)[..., :height, :width]
    return (images + 0.4 * strength.view(-1, 1, 1, 1) * level).clamp(0, 1)


def _plane(images: Tensor) -> tuple[int, ...]:
    return (len(images), 1, *images.shape[-2:])
