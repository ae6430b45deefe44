"""Filters and compression; see `dps_train.distortions.other` for the arguments."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from dps_infer.arrays import Pixels


def erode(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Blend in the image whose dark parts have grown by 2 pixels."""
    grown = -F.max_pool2d(-images, kernel_size=5, stride=1, padding=2)
    return images + (grown - images) * strength.view(-1, 1, 1, 1)


def sharpen(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Overshoot the edges: unsharp masking with a gain of up to 4."""
    soft = TF.gaussian_blur(images, kernel_size=[5, 5], sigma=[1.0, 1.0])
    return (images + 4 * strength.view(-1, 1, 1, 1) * (images - soft)).clamp(0, 1)


def median(images: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Replace each pixel by the median of a window of up to 15 pixels around it."""

    def filtered(pixels: Pixels, level: float) -> Pixels:
        window = 1 + 2 * round(7 * level)
        return np.asarray(cv2.medianBlur(pixels, window) if window > 1 else pixels, np.uint8)

    return each(filtered, images, strength)


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

    def compressed(pixels: Pixels, level: float) -> Pixels:
        if level == 0:
            return pixels
        quality = [cv2.IMWRITE_JPEG_QUALITY, round(95 - 90 * level)]
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], quality)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)

    return each(compressed, images, strength)


def each(change: Callable[[Pixels, float], Pixels], images: Tensor, strength: Tensor) -> Tensor:
    """Change images one by one, as uint8 pixels [H, W, 3]."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    changed = [change(image, level) for image, level in zip(pixels, strength.tolist(), strict=True)]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).float() / 255
