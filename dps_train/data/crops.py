"""From images of any size to float tensors at the working size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_train.distortions.distortion import quantize

TRAINING_SIZE = 64
"""Working size in pixels of training and evaluation for a metric that keeps the size of images."""

SMALLEST_CROP = 0.4
"""Shortest side of a training crop, as a share of the image's shorter side."""


def to_tensor(image: Pixels) -> Tensor:
    """Return a uint8 RGB [H, W, 3] array as float [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def resize_images(images: Sequence[Pixels], size: int) -> Tensor:
    """Resize whole images on both sides without cropping, as the paper does.

    Returns float RGB [N, 3, size, size] in [0, 1], rounded to 256 levels.
    """
    return torch.cat([_resized(to_tensor(image), size) for image in images])


def random_crops(
    images: Sequence[Pixels], count: int, size: int, generator: torch.Generator
) -> Tensor:
    """Draw crops of any position and size and slightly varying shape, half of them mirrored.

    Every image is drawn equally often, give or take one. Returns float RGB [count, 3, size, size]
    in [0, 1], rounded to 256 levels.
    """
    rounds = -(-count // len(images))
    order = torch.cat([torch.randperm(len(images), generator=generator) for _ in range(rounds)])
    chosen = [images[number] for number in order[:count].tolist()]
    return torch.cat([crop_window(image, draw_window(image, generator), size) for image in chosen])


@dataclass(frozen=True)
class Window:
    """A part of an image: its corner and its extent in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and the columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


def draw_window(image: Pixels, generator: torch.Generator, *, side: int | None = None) -> Window:
    """Draw a window of any position and size and slightly varying shape, half of them mirrored.

    With `side`, the window is a square of this side in pixels, or as much of it as fits.
    """
    height, width = image.shape[:2]
    draw = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    if side is None:
        length = min(height, width) * (SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[0])
        # Up to the whole of a wide image: resizing squeezes it as `resize_images` does.
        crop_height = max(1, min(height, round(length)))
        crop_width = max(1, min(width, round(length * (0.8 + 0.7 * draw[1]))))
    else:
        crop_height, crop_width = min(side, height), min(side, width)
    top = int(draw[2] * (height - crop_height + 1))
    left = int(draw[3] * (width - crop_width + 1))
    return Window(top, left, crop_height, crop_width, draw[4] < 0.5)


def crop_window(image: Pixels, window: Window, size: int) -> Tensor:
    """Crop a window and resize it: [1, 3, size, size] in [0, 1], rounded to 256 levels."""
    resized = _resized(to_tensor(image[window.slices]), size)
    return resized.flip(-1) if window.mirrored else resized


def _resized(image: Tensor, size: int) -> Tensor:
    return quantize(
        F.interpolate(
            image, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    )
