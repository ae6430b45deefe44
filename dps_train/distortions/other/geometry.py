"""Changes that move pixels; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF


def perspective(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Pull the corners inwards by up to a quarter of the side."""
    count, _, height, width = images.shape
    pull = 0.25 * torch.rand(count, 4, 2, generator=generator) * strength[:, None, None]
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * torch.tensor([width, height])
    ends = (torch.tensor(corners) + pull * inwards).tolist()
    return torch.stack(
        [
            TF.perspective(image, startpoints=corners, endpoints=end)
            for image, end in zip(images, ends, strict=True)
        ]
    )


def stretch(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Shear and squeeze by up to a half, in a random direction; edges are mirrored."""
    count = len(images)
    entries = torch.rand(count, 2, 2, generator=generator) * 2 - 1
    entries = entries / entries.abs().amax(dim=(1, 2), keepdim=True)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, :, :2] = torch.eye(2) + 0.5 * strength[:, None, None] * entries
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def elastic(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Bend by a smooth random field of up to a tenth of the side."""
    field = torch.randn(len(images), 2, 4, 4, generator=generator)
    field = F.interpolate(field, size=images.shape[-2:], mode="bicubic", align_corners=True)
    largest = field.abs().amax(dim=(1, 2, 3), keepdim=True)
    # A tenth of the side is 0.2 in the grid's units, which run from -1 to 1.
    return _displaced(images, 0.2 * strength.view(-1, 1, 1, 1) * field / largest)


def wave(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Shift rows or columns along a sine of up to a tenth of the side."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 3, 1, 1, generator=generator)
    y = torch.arange(height)[None, :, None] / height
    x = torch.arange(width)[None, None, :] / width
    rows = draw[:, 0] < 0.5
    phase = torch.where(rows, y, x) * (0.5 + 4 * draw[:, 1]) + draw[:, 2]
    sine = torch.sin(2 * math.pi * phase)
    field = torch.stack([torch.where(rows, sine, 0), torch.where(rows, 0, sine)], dim=1)
    return _displaced(images, 0.2 * strength.view(-1, 1, 1, 1) * field)


def lens(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Bulge or pinch, by up to a quarter of the distance to the center."""
    count, _, height, width = images.shape
    sign = torch.randint(0, 2, (count, 1, 1, 1), generator=generator) * 2 - 1
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None, :].expand(height, width)
    bulge = (1 - x.square()) * (1 - y.square())
    field = torch.stack([x, y]) * bulge
    return _displaced(images, 0.5 * sign * strength.view(-1, 1, 1, 1) * field)


def glass(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Take each pixel from a random place up to a tenth of the side away."""
    shape = (len(images), 2, *images.shape[-2:])
    field = torch.rand(shape, generator=generator) * 2 - 1
    return _displaced(images, 0.2 * strength.view(-1, 1, 1, 1) * field)


def motion(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Smear along a random direction over up to a fifth of the side."""
    steps = 9
    level = strength.view(-1, 1, 1, 1)
    angle = 2 * math.pi * torch.rand(len(images), generator=generator)
    direction = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)[:, :, None, None]
    # A fifth of the side is 0.4 in the grid's units: 0.2 to either side.
    reach = 0.2 * level * direction.expand(-1, -1, *images.shape[-2:])
    places = torch.linspace(-1, 1, steps).tolist()
    smeared = torch.stack([_displaced(images, place * reach) for place in places]).mean(dim=0)
    return torch.where(level > 0, smeared, images)


def _displaced(images: Tensor, field: Tensor) -> Tensor:
    """Take each pixel from `field` [N, 2, H, W] away, in half sides; edges are mirrored."""
    count, _, height, width = images.shape
    identity = torch.eye(2, 3).expand(count, -1, -1)
    grid = F.affine_grid(identity, [count, 1, height, width], align_corners=False)
    grid = grid + field.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
