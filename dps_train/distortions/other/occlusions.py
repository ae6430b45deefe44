"""Changes that cover an image in part; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def occlude(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a random square of up to half the side with a random color."""
    inside = _growing_square(images, strength, generator)
    color = torch.rand(len(images), 3, 1, 1, generator=generator)
    return torch.where(inside, color, images)


def paste(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a random square of up to half the side with a part of the next image."""
    return torch.where(_growing_square(images, strength, generator), images.roll(1, dims=0), images)


def overlay(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lay a rectangle over a part; its opacity is the strength."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 4, 1, 1, 1, generator=generator)
    half = 0.1 + 0.25 * draw[:, :2]
    y = torch.linspace(0, 1, height)[None, None, :, None]
    x = torch.linspace(0, 1, width)[None, None, None, :]
    inside = ((y - draw[:, 2]).abs() < half[:, 0]) & ((x - draw[:, 3]).abs() < half[:, 1])
    color = torch.rand(count, 3, 1, 1, generator=generator)
    covered = images + (color - images) * strength.view(-1, 1, 1, 1)
    return torch.where(inside, covered, images)


def ghost(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend in up to half of the next image."""
    return images + (images.roll(1, dims=0) - images) * 0.5 * strength.view(-1, 1, 1, 1)


def _growing_square(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask [N, 1, H, W] of a square of up to half the side."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 2, 1, 1, 1, generator=generator)
    # It grows about a fixed center, so that a stronger change covers all that a weaker one covers.
    half = 0.25 * strength.view(-1, 1, 1, 1)
    y = torch.linspace(0, 1, height)[None, None, :, None] - (0.25 + 0.5 * draw[:, 0])
    x = torch.linspace(0, 1, width)[None, None, None, :] - (0.25 + 0.5 * draw[:, 1])
    return (torch.maximum(x.abs(), y.abs()) <= half) & (half > 0)
