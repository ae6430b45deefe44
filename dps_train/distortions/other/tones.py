"""Changes of tones and colors; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF


def contrast(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lower the contrast about the mean gray, by up to 90 %."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 - 0.9 * strength.view(-1, 1, 1, 1))


def harden(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Raise the contrast about the mean gray, up to fourfold."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return (middle + (images - middle) * (1 + 3 * strength.view(-1, 1, 1, 1))).clamp(0, 1)


def brighten(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lift dark tones by a gamma down to 0.3."""
    return images.clamp(min=1e-6) ** (1 - 0.7 * strength.view(-1, 1, 1, 1))


def haze(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend in up to 80 % of a light, nearly gray color."""
    tone = 0.6 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    tone = tone - 0.1 * torch.rand(len(images), 3, 1, 1, generator=generator)
    return images + (tone - images) * 0.8 * strength.view(-1, 1, 1, 1)


def desaturate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Fade towards gray."""
    gray = TF.rgb_to_grayscale(images, num_output_channels=3)
    return images + (gray - images) * strength.view(-1, 1, 1, 1)


def saturate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Raise the saturation up to fourfold."""
    gray = TF.rgb_to_grayscale(images, num_output_channels=3)
    return (gray + (images - gray) * (1 + 3 * strength.view(-1, 1, 1, 1))).clamp(0, 1)


def tint(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Scale the channels by up to 50 %, each in its own random direction."""
    gain = torch.rand(len(images), 3, 1, 1, generator=generator) * 2 - 1
    gain = gain / gain.abs().amax(dim=1, keepdim=True)
    return (images * (1 + 0.5 * gain * strength.view(-1, 1, 1, 1))).clamp(0, 1)


def gamma(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a separate gamma to each channel, from 1/3 to 3 at most."""
    lift = torch.rand(len(images), 3, 1, 1, generator=generator) * 2 - 1
    return _gamma(images, lift, strength)


def posterize(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Round each channel to fewer levels, from 64 down to 2."""
    level = strength.view(-1, 1, 1, 1)
    levels = torch.exp(math.log(63) * (1 - level))
    rounded = (torch.round(images * levels) / levels).clamp(0, 1)
    return torch.where(level > 0, rounded, images)


def patch(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a gamma from 1/3 to 3 at most to a random part with soft edges."""
    count, _, height, width = images.shape
    field = torch.randn(count, 1, 4, 4, generator=generator)
    soft = torch.sigmoid(
        4 * F.interpolate(field, size=(height, width), mode="bicubic", align_corners=False)
    )
    sign = torch.randint(0, 2, (count, 3, 1, 1), generator=generator) * 2 - 1
    return images + soft * (_gamma(images, sign, strength) - images)


def vignette(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Darken towards the corners, which turn black at most."""
    _, _, height, width = images.shape
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    return images * (1 - strength.view(-1, 1, 1, 1) * (x.square() + y.square()) / 2)


def _gamma(images: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    exponent = torch.exp(math.log(3) * direction * strength.view(-1, 1, 1, 1))
    return images.clamp(min=1e-6) ** exponent
