"""From images of any size to float batches at the working size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.data.sources import Image
from dps_train.distortions.paper import quantize

TRAINING_SIZE = 64
"""Working size in pixels of training and evaluation where a metric keeps its images' own."""

SMALLEST_CROP = 0.4
"""The shortest side of a training crop, as a share of the image's shorter side."""


def to_tensor(image: Image) -> Tensor:
    """Return a uint8 RGB [H, W, 3] array as float [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def whole(images: Sequence[Image], size: int) -> Tensor:
    """Shrink whole images, both sides and without a crop, as the paper does.

    Returns:
        Float RGB [N, 3, size, size] in [0, 1], rounded to 256 levels.
    """
    return torch.cat([_resized(to_tensor(image), size) for image in images])


def random_crops(
    images: Sequence[Image], count: int, size: int, generator: torch.Generator
) -> Tensor:
    """Draw crops of any position, size and slightly varying shape, half of them mirrored.

    Every image is drawn equally often, give or take one.

    Returns:
        Float RGB [count, 3, size, size] in [0, 1], rounded to 256 levels.
    """
    order = torch.cat(
        [torch.randperm(len(images), generator=generator) for _ in range(-(-count // len(images)))]
    )[:count]
    return torch.cat([_random_crop(images[int(i)], size, generator) for i in order])


def _random_crop(image: Image, size: int, generator: torch.Generator) -> Tensor:
    return cut(image, draw_window(image, generator), size)


@dataclass(frozen=True)
class Window:
    """A part of an image: top and left, height and width in pixels, and whether it is mirrored."""

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


def draw_window(image: Image, generator: torch.Generator, *, side: int | None = None) -> Window:
    """Draw a window of any position, size and slightly varying shape, half of them mirrored.

    Args:
        image: uint8 RGB [H, W, 3], or another of the same height and width.
        generator: draws.
        side: of a square window in pixels, at most, instead of any size.
    """
    height, width = image.shape[:2]
    draw = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    if side is None:
        length = min(height, width) * (SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[0])
        # Up to the whole of a wide image: squeezing is what `whole` does to it as well.
        crop_height = max(1, min(height, round(length)))
        crop_width = max(1, min(width, round(length * (0.8 + 0.7 * draw[1]))))
    else:
        crop_height, crop_width = min(side, height), min(side, width)
    top = int(draw[2] * (height - crop_height + 1))
    left = int(draw[3] * (width - crop_width + 1))
    return Window(top, left, crop_height, crop_width, draw[4] < 0.5)


def cut(image: Image, window: Window, size: int) -> Tensor:
    """Cut a window out and resize it: [1, 3, size, size] in [0, 1], rounded to 256 levels."""
    resized = _resized(to_tensor(image[window.slices]), size)
    return resized.flip(-1) if window.mirrored else resized


def _resized(image: Tensor, size: int) -> Tensor:
    return quantize(
        F.interpolate(
            image, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    )
