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
    """Add Gaussian noise of up to a standard deviation of 0.2, a channel each."""
    deviation = 0.2 * _wide(strength)
    return (images + deviation * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def grain(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of up to a standard deviation of 0.25, the same in all channels."""
    shape = (len(images), 1, *images.shape[-2:])
    return (images + 0.25 * _wide(strength) * torch.randn(shape, generator=generator)).clamp(0, 1)


def salt(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Turn up to a fifth of the pixels black or white."""
    shape = (len(images), 1, *images.shape[-2:])
    hit = torch.rand(shape, generator=generator) < 0.2 * _wide(strength)
    value = (torch.rand(shape, generator=generator) < 0.5).float()
    return torch.where(hit, value, images)


def stripes(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Add a sine of up to 0.3, across or down, with a period of 2 pixels to the whole side."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 3, 1, 1, 1, generator=generator)
    phase = (
        2
        * math.pi
        * (
            draw[:, 0]
            + (1 + 0.5 * width * draw[:, 1]).floor()
            * torch.where(
                draw[:, 2] < 0.5,
                torch.arange(width)[None, None, None] / width,
                torch.arange(height)[None, None, :, None] / height,
            )
        )
    )
    return (images + 0.3 * _wide(strength) * torch.sin(phase)).clamp(0, 1)


def contrast(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lower the contrast about the mean grey, by up to 90 %."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 - 0.9 * _wide(strength))


def harden(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Raise the contrast about the mean grey, up to fourfold."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return (middle + (images - middle) * (1 + 3 * _wide(strength))).clamp(0, 1)


def brighten(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lift dark tones by a gamma down to 0.3."""
    return images.clamp(min=1e-6) ** (1 - 0.7 * _wide(strength))


def haze(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lay up to 80 % of a light, near-grey colour over everything."""
    tone = 0.6 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    tone = tone - 0.1 * torch.rand(len(images), 3, 1, 1, generator=generator)
    return images + (tone - images) * 0.8 * _wide(strength)


def desaturate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Fade towards grey."""
    grey = TF.rgb_to_grayscale(images, num_output_channels=3)
    return images + (grey - images) * _wide(strength)


def saturate(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Raise the saturation up to fourfold."""
    grey = TF.rgb_to_grayscale(images, num_output_channels=3)
    return (grey + (images - grey) * (1 + 3 * _wide(strength))).clamp(0, 1)


def tint(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Scale the channels by up to 50 %, each in its own random direction."""
    gain = torch.rand(len(images), 3, 1, 1, generator=generator) * 2 - 1
    gain = gain / gain.abs().amax(dim=1, keepdim=True)
    return (images * (1 + 0.5 * gain * _wide(strength))).clamp(0, 1)


def gamma(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Give each channel a gamma of its own, between 1/3 and 3 at most."""
    lift = torch.rand(len(images), 3, 1, 1, generator=generator) * 2 - 1
    return images.clamp(min=1e-6) ** torch.exp(math.log(3) * lift * _wide(strength))


def blocks(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Shift the level of each block of 8 x 8 pixels by up to a fifth of the range."""
    count, _, height, width = images.shape
    level = torch.rand(count, 3, -(-height // 8), -(-width // 8), generator=generator) - 0.5
    level = level.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)[..., :height, :width]
    return (images + 0.4 * _wide(strength) * level).clamp(0, 1)


def erode(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Let dark parts grow by 2 pixels, ever more visibly."""
    grown = -F.max_pool2d(-images, kernel_size=5, stride=1, padding=2)
    return images + (grown - images) * _wide(strength)


def patch(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Change the tones of a random soft-edged part by a gamma between 1/3 and 3 at most."""
    count, _, height, width = images.shape
    field = torch.randn(count, 1, 4, 4, generator=generator)
    soft = torch.sigmoid(
        4 * F.interpolate(field, size=(height, width), mode="bicubic", align_corners=False)
    )
    sign = torch.randint(0, 2, (count, 3, 1, 1), generator=generator) * 2 - 1
    changed = images.clamp(min=1e-6) ** torch.exp(math.log(3) * sign * _wide(strength))
    return images + soft * (changed - images)


def vignette(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Darken towards the corners, which turn black at most."""
    _, _, height, width = images.shape
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    return images * (1 - _wide(strength) * (x.square() + y.square()) / 2)


def occlude(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a random square of up to half the side with a random colour."""
    inside = _growing_square(images, strength, generator)
    colour = torch.rand(len(images), 3, 1, 1, generator=generator)
    return torch.where(inside, colour, images)


def paste(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a random square of up to half the side with a part of the next image."""
    return torch.where(_growing_square(images, strength, generator), images.roll(1, dims=0), images)


def overlay(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Lay an ever less translucent rectangle over a part."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 4, 1, 1, 1, generator=generator)
    half = 0.1 + 0.25 * draw[:, :2]
    y = torch.linspace(0, 1, height)[None, None, :, None]
    x = torch.linspace(0, 1, width)[None, None, None, :]
    inside = ((y - draw[:, 2]).abs() < half[:, 0]) & ((x - draw[:, 3]).abs() < half[:, 1])
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    return torch.where(inside, images + (colour - images) * _wide(strength), images)


def ghost(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Fade halfway into the next image."""
    return images + (images.roll(1, dims=0) - images) * 0.5 * _wide(strength)


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
    # A tenth of the side is 0.2 in the grid's units, which run from -1 to 1.
    return _displaced(images, 0.2 * _wide(strength) * field / _largest(field))


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
    return _displaced(images, 0.2 * _wide(strength) * field)


def lens(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Bulge or pinch, by up to a quarter of the way to the middle."""
    count, _, height, width = images.shape
    sign = torch.randint(0, 2, (count, 1, 1, 1), generator=generator) * 2 - 1
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None, :].expand(height, width)
    bulge = (1 - x.square()) * (1 - y.square())
    field = torch.stack([x, y]) * bulge
    return _displaced(images, 0.5 * sign * _wide(strength) * field)


def glass(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Let each pixel come from a random place up to a tenth of the side away."""
    shape = (len(images), 2, *images.shape[-2:])
    field = torch.rand(shape, generator=generator) * 2 - 1
    return _displaced(images, 0.2 * _wide(strength) * field)


def motion(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Smear along a random direction over up to a fifth of the side."""
    steps = 9
    angle = 2 * math.pi * torch.rand(len(images), generator=generator)
    direction = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)[:, :, None, None]
    # A fifth of the side is 0.4 in the grid's units: 0.2 to either side.
    reach = 0.2 * _wide(strength) * direction.expand(-1, -1, *images.shape[-2:])
    places = torch.linspace(-1, 1, steps).tolist()
    smeared = torch.stack([_displaced(images, place * reach) for place in places]).mean(dim=0)
    return torch.where(_wide(strength) > 0, smeared, images)


def sharpen(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Overshoot the edges: unsharp masking with a gain of up to 4."""
    soft = TF.gaussian_blur(images, kernel_size=[5, 5], sigma=[1.0, 1.0])
    return (images + 4 * _wide(strength) * (images - soft)).clamp(0, 1)


def median(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Replace each pixel by the median around it, in a window of up to 15 pixels."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    windows = [1 + 2 * round(7 * float(level)) for level in strength]
    filtered = [
        cv2.medianBlur(image, window) if window > 1 else image
        for image, window in zip(pixels, windows, strict=True)
    ]
    return torch.from_numpy(np.stack(filtered)).permute(0, 3, 1, 2).float() / 255


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


def posterize(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Round to ever fewer levels, from 64 down to 2 a channel."""
    levels = torch.exp(math.log(63) * (1 - _wide(strength)))
    rounded = (torch.round(images * levels) / levels).clamp(0, 1)
    return torch.where(_wide(strength) > 0, rounded, images)


TRAINED: dict[str, Change] = {
    change.__name__: change
    for change in (
        noise,
        grain,
        salt,
        stripes,
        contrast,
        harden,
        brighten,
        haze,
        desaturate,
        saturate,
        gamma,
        blocks,
        erode,
        patch,
        occlude,
        paste,
        overlay,
        ghost,
        perspective,
        stretch,
        wave,
        lens,
        glass,
        motion,
        sharpen,
        pixelate,
        posterize,
    )
}

HELD_OUT: dict[str, Change] = {
    change.__name__: change for change in (jpeg, tint, vignette, elastic, median)
}


def _growing_square(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask [N, 1, H, W] of a square of up to half the side."""
    count, _, height, width = images.shape
    draw = torch.rand(count, 2, 1, 1, 1, generator=generator)
    # It grows about a fixed centre, so that more strength covers more of the same.
    half = 0.25 * _wide(strength)
    y = torch.linspace(0, 1, height)[None, None, :, None] - (0.25 + 0.5 * draw[:, 0])
    x = torch.linspace(0, 1, width)[None, None, None, :] - (0.25 + 0.5 * draw[:, 1])
    return (torch.maximum(x.abs(), y.abs()) <= half) & (half > 0)


def _displaced(images: Tensor, field: Tensor) -> Tensor:
    """Take each pixel from `field` [N, 2, H, W] away, in half sides; edges are mirrored."""
    count, _, height, width = images.shape
    identity = torch.eye(2, 3).expand(count, -1, -1)
    grid = F.affine_grid(identity, [count, 1, height, width], align_corners=False)
    grid = grid + field.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _largest(field: Tensor) -> Tensor:
    return field.abs().amax(dim=(1, 2, 3), keepdim=True)


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress and decompress uint8 [H, W, 3]."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def _wide(strength: Tensor) -> Tensor:
    return strength[:, None, None, None]
