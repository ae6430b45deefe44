"""The six distortions of the paper, batched.

They equal torchvision's per-image functions with the same parameters, nearest interpolation and
black fill (Pihlgren et al. 2024 and the authors' code).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.contexts.ranking import PAPER_DISTORTIONS
from dps_train.distortions.distortion import Distortion

BLUR_KERNEL = (11, 21)
"""Width and height in pixels of the paper's Gaussian kernel, for every sigma."""


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate images [N, 3, H, W] counter-clockwise about the center; uncovered corners are black.

    Equals ``torchvision.transforms.functional.rotate``; degrees [N, 1].
    """
    angle = torch.deg2rad(-degrees[:, 0].double().cpu())
    cos, sin = torch.cos(angle), torch.sin(angle)
    zero = torch.zeros_like(cos)
    inverse = torch.stack([cos, sin, zero, -sin, cos, zero], dim=1)
    return _warp(images, inverse.reshape(-1, 2, 3))


def translate(images: Tensor, fraction: Tensor) -> Tensor:
    """Shift images [N, 3, H, W] by whole pixels; the uncovered border is black.

    Equals ``affine`` with the rounded shift; `fraction` [N, 2] of width and height, right and down.
    """
    height, width = images.shape[-2:]
    pixels = torch.round(fraction.double().cpu() * torch.tensor([width, height]))
    inverse = torch.eye(2, 3, dtype=torch.float64).repeat(len(images), 1, 1)
    inverse[:, :, 2] = -pixels
    return _warp(images, inverse)


def zoom(images: Tensor, scale: Tensor) -> Tensor:
    """Enlarge images [N, 3, H, W] about the center. Equals ``affine``; scale [N, 1]."""
    inverse = torch.eye(2, 3, dtype=torch.float64).repeat(len(images), 1, 1)
    inverse /= scale.double().cpu()[:, :, None]
    return _warp(images, inverse)


def darken(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images [N, 3, H, W] by factors [N, 1]. Equals ``adjust_brightness``."""
    return (images * factor.to(images)[:, :, None, None]).clamp(0, 1)


def color(images: Tensor, turn: Tensor) -> Tensor:
    """Shift the hue of RGB images [N, 3, H, W] in [0, 1].

    Equals ``adjust_hue``; `turn` [N, 1] in turns of the color circle: 0.5 gives the opposite hue.
    """
    value, _ = images.max(dim=1)
    minimum, _ = images.min(dim=1)
    chroma = value - minimum
    one = torch.ones_like(value)
    divisor = torch.where(chroma == 0, one, chroma)
    red, green, blue = ((value[:, None] - images) / divisor[:, None]).unbind(dim=1)
    is_red = images[:, 0] == value
    is_green = images[:, 1] == value
    sixth = torch.where(
        is_red, blue - green, torch.where(is_green, 2 + red - blue, 4 + green - red)
    )
    hue = (torch.fmod(sixth / 6 + 1, 1) + turn.to(images)[:, :, None]) % 1
    # HSV to RGB: a channel drops below the value by the chroma times how far the hue is from
    # that channel's own (en.wikipedia.org/wiki/HSL_and_HSV, "HSV to RGB alternative").
    offset = torch.tensor([5, 3, 1], dtype=images.dtype, device=images.device)[None, :, None, None]
    away = (offset + hue[:, None] * 6) % 6
    fall = torch.minimum(away, 4 - away).clamp(0, 1)
    turned: Tensor = (value[:, None] - chroma[:, None] * fall).clamp(0, 1)
    return turned


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images [N, 3, H, W] with a Gaussian truncated to `BLUR_KERNEL`, edges reflected.

    Equals ``gaussian_blur``; sigma [N, 1] in pixels. H and W are above half the kernel.
    """
    count, channels, height, width = images.shape
    pad_x, pad_y = BLUR_KERNEL[0] // 2, BLUR_KERNEL[1] // 2
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y), mode="reflect")
    # One group per image: each has its own kernel, separable into a row and a column.
    planes = padded.transpose(0, 1)
    row = _gaussian(sigma.to(images), BLUR_KERNEL[0])[:, None, None, :]
    column = _gaussian(sigma.to(images), BLUR_KERNEL[1])[:, None, :, None]
    planes = F.conv2d(planes, row, groups=count)
    planes = F.conv2d(planes, column, groups=count)
    return planes.transpose(0, 1).reshape(count, channels, height, width)


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """Return normalized kernels [N, size] for sigmas [N, 1]."""
    # Below a hundredth of a pixel a Gaussian is one sample and the exponent would overflow.
    sigma = sigma.clamp(min=0.01)
    position = torch.arange(size, dtype=sigma.dtype, device=sigma.device) - (size - 1) / 2
    kernel = torch.exp(-0.5 * (position / sigma).square())
    return kernel / kernel.sum(dim=1, keepdim=True)


def _warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Sample each image at `inverse` [N, 2, 3] (output to input, pixels about the center).

    The arithmetic follows torchvision's step by step, so that nearest neighbors agree.
    """
    height, width = images.shape[-2:]
    inverse = inverse.to(images)
    x = torch.linspace(-width * 0.5 + 0.5, width * 0.5 - 0.5, width).to(images)
    y = torch.linspace(-height * 0.5 + 0.5, height * 0.5 - 0.5, height).to(images)
    base = torch.stack(
        [
            x.expand(height, width),
            y[:, None].expand(height, width),
            torch.ones_like(x).expand(height, width),
        ],
        dim=-1,
    )
    half = torch.tensor([0.5 * width, 0.5 * height]).to(images)
    theta = inverse.transpose(1, 2) / half
    grid = base.reshape(1, -1, 3).expand(len(images), -1, -1).bmm(theta)
    grid = grid.reshape(-1, height, width, 2)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _signed(strength: Tensor, direction: Tensor) -> Tensor:
    return torch.where(direction < 0.5, -strength, strength)[:, None]


def _shift(strength: Tensor, direction: Tensor) -> Tensor:
    """Return shifts [N, 2] of the given length; the direction is a share of the full circle."""
    angle = 2 * math.pi * direction
    return strength[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)


DISTORTIONS: tuple[Distortion, ...] = (
    Distortion(
        name="rotate",
        parameter="angle in degrees",
        range=(30.0, 330.0),
        unit="degrees away from upright",
        threshold=3.0,
        reference=90.0,
        limit=180.0,
        _apply=rotate,
        _strength=lambda degrees: 180 - (degrees[:, 0] % 360 - 180).abs(),
        _with_strength=lambda strength, direction: _signed(strength, direction) % 360,
    ),
    Distortion(
        name="translate",
        parameter="shift across and down, as a fraction of the side",
        range=(-0.5, 0.5),
        unit="length of the shift, as a fraction of the side",
        threshold=0.02,
        reference=0.25,
        limit=0.5,
        columns=2,
        _apply=translate,
        _strength=lambda fraction: fraction.square().sum(dim=1).sqrt(),
        _with_strength=_shift,
    ),
    Distortion(
        name="darken",
        parameter="brightness factor",
        range=(0.1, 0.5),
        unit="brightness lost, as a fraction",
        threshold=0.1,
        reference=0.5,
        limit=0.9,
        _apply=darken,
        _strength=lambda factor: 1 - factor[:, 0],
        _with_strength=lambda strength, direction: (1 - strength)[:, None],
    ),
    Distortion(
        name="color",
        parameter="hue shift in turns",
        range=(-0.5, 0.5),
        unit="hue shift in turns",
        threshold=0.02,
        reference=0.25,
        limit=0.5,
        _apply=color,
        _strength=lambda turn: turn[:, 0].abs(),
        _with_strength=_signed,
    ),
    Distortion(
        name="blur",
        parameter="Gaussian sigma in pixels",
        range=(4.0, 10.0),
        unit="Gaussian sigma in pixels",
        threshold=0.5,
        reference=4.0,
        limit=10.0,
        _apply=blur,
        _strength=lambda sigma: sigma[:, 0],
        _with_strength=lambda strength, direction: strength[:, None],
    ),
    Distortion(
        name="zoom",
        parameter="scale",
        range=(1.1, 2.0),
        unit="scale above 1",
        threshold=0.03,
        reference=0.5,
        limit=1.0,
        _apply=zoom,
        _strength=lambda scale: scale[:, 0] - 1,
        _with_strength=lambda strength, direction: (1 + strength)[:, None],
    ),
)
"""The six, in the paper's order: the index is the number that rankings use."""

NAMES = PAPER_DISTORTIONS
"""Their names, in the same order."""
