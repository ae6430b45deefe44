"""Other kinds of change than the six: what `other` is trained on, and kinds kept for testing.

The head learns to report `TRAINED` ones as `other`. `HELD_OUT` ones it never sees in
training: with them evaluation measures what the metric keeps of a general one
(*retention*). Each takes float RGB images [N, 3, H, W] in [0, 1] and strengths [N] in
[0, 1], 0 = none, and returns a new batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def noise(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of up to a standard deviation of 0.2."""
    grain = torch.randn(images.shape, generator=generator)
    return (images + 0.2 * _wide(strength) * grain).clamp(0, 1)


def contrast(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lower the contrast about the mean grey, by up to 90 %."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 - 0.9 * _wide(strength))


def brighten(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lift dark tones by a gamma down to 0.3."""
    return images.clamp(min=1e-6) ** (1 - 0.7 * _wide(strength))


def desaturate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Fade towards grey."""
    grey = TF.rgb_to_grayscale(images, num_output_channels=3)
    return images + (grey - images) * _wide(strength)


def tint(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Scale the channels by up to 50 %, each in its own random direction."""
    gain = torch.rand(len(images), 3, 1, 1, generator=generator) * 2 - 1
    gain = gain / gain.abs().amax(dim=1, keepdim=True)
    return (images * (1 + 0.5 * gain * _wide(strength))).clamp(0, 1)


def occlude(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a random square of up to half the side with a random colour."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 5, generator=generator)
    # The square grows about a fixed centre, so that more strength covers more of the same.
    half = 0.25 * strength
    y = torch.linspace(0, 1, height)[None, :, None] - (0.25 + 0.5 * draw[:, 0, None, None])
    x = torch.linspace(0, 1, width)[None, None, :] - (0.25 + 0.5 * draw[:, 1, None, None])
    inside = (torch.maximum(x.abs(), y.abs()) <= half[:, None, None]) & (half > 0)[:, None, None]
    return torch.where(inside[:, None], draw[:, 2:, None, None], images)


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


def sharpen(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Overshoot the edges: unsharp masking with a gain of up to 4."""
    soft = TF.gaussian_blur(images, kernel_size=[5, 5], sigma=[1.0, 1.0])
    return (images + 4 * _wide(strength) * (images - soft)).clamp(0, 1)


def pixelate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Replace blocks of up to an eighth of the side by their mean."""
    side = images.shape[-1]
    return torch.cat(
        [
            F.interpolate(
                F.interpolate(image[None], size=cells, mode="area"), size=images.shape[-2:]
            )
            if (cells := max(8, round(side / (1 + float(level) * (side / 8 - 1))))) < side
            else image[None]
            for image, level in zip(images, strength, strict=True)
        ]
    )


def jpeg(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Compress as JPEG, from quality 95 down to 5."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    compressed = [
        _through_jpeg(image, round(95 - 90 * float(level))) if level > 0 else image
        for image, level in zip(pixels, strength, strict=True)
    ]
    return torch.from_numpy(np.stack(compressed)).permute(0, 3, 1, 2).float() / 255


def elastic(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Bend by a smooth random field of up to a tenth of the side."""
    count, _, height, width = images.shape
    coarse = torch.randn(count, 2, 4, 4, generator=generator)
    field = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    field = field / field.abs().amax(dim=(1, 2, 3), keepdim=True)
    grid = F.affine_grid(
        torch.eye(2, 3).expand(count, -1, -1), [count, 1, height, width], align_corners=False
    )
    # A tenth of the side is 0.2 in the grid's units, which run from -1 to 1.
    grid = grid + 0.2 * strength[:, None, None, None] * field.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def posterize(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Round to ever fewer levels, from 64 down to 2 a channel."""
    levels = torch.exp(math.log(63) * (1 - _wide(strength)))
    rounded = (torch.round(images * levels) / levels).clamp(0, 1)
    return torch.where(_wide(strength) > 0, rounded, images)


TRAINED: dict[str, Change] = {
    "noise": noise,
    "brighten": brighten,
    "desaturate": desaturate,
    "occlude": occlude,
    "perspective": perspective,
    "posterize": posterize,
}

HELD_OUT: dict[str, Change] = {
    "jpeg": jpeg,
    "contrast": contrast,
    "pixelate": pixelate,
    "sharpen": sharpen,
    "tint": tint,
    "elastic": elastic,
}


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress and decompress uint8 [H, W, 3]."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def _wide(strength: Tensor) -> Tensor:
    return strength[:, None, None, None]
