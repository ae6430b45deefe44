"""The metric: preprocess, backbone, comparison, head; uint8 images in, distances out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from dps_train.comparisons import Comparison, local_maps
from dps_train.heads import AdditiveHead

MAP_CELLS = 16
"""Cells along each side of the map that shows where a distance comes from."""


def resize(images: Tensor, size: int | None) -> Tensor:
    """Resize float images [N, C, H, W] to `size` on both sides, bilinear and antialiased."""
    if size is None:
        return images
    return F.interpolate(
        images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )


class Preprocess(nn.Module):
    """From uint8 RGB [N, H, W, 3] to normalised float [N, 3, size, size].

    Args:
        size: the working size in pixels; None keeps the images' own.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: int | None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise float RGB [N, 3, H, W] in [0, 1]."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Convert, resize and normalise."""
        planes = images.permute(0, 3, 1, 2).float() / 255
        return self.normalize(resize(planes, self.size))


class Metric(nn.Module):
    """A perceptual distance that explains itself.

    Args:
        preprocess: uint8 images to normalised ones.
        backbone: normalised images to feature maps.
        comparison: two lists of feature maps to channel distances.
        head: channel distances to amounts and distance.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: Backbone,
        comparison: Comparison,
        head: AdditiveHead,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.comparison = comparison
        self.head = head

    def forward(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compare images of equal height and width.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N, or 1 to compare one with all.
            distorted: uint8 RGB [N, H, W, 3].

        Returns:
            distance [N], 0 = identical, higher = more different;
            amounts [N, K + 1], >= 0;
            map [N, `MAP_CELLS`, `MAP_CELLS`], whose mean is the distance.
        """
        first, second = self.features(reference, distorted)
        amounts = self.head.amounts(self.comparison(first, second))
        distance = amounts @ self.head.importances
        return distance, amounts, self.map(first, second, distance)

    def features(self, reference: Tensor, distorted: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return both images' feature maps, each [N, C, H', W'] per layer."""
        # One batch for both, so that equal images go through equal arithmetic.
        both = torch.cat([reference, distorted])
        maps = self.comparison.normalized(self.backbone(self.preprocess(both)))
        count, references = distorted.shape[0], reference.shape[0]
        # 0, 1, 2 ... for as many references as candidates, 0, 0, 0 ... for one: both cases
        # are one graph.
        last = torch.arange(references, device=reference.device)[-1:]
        index = torch.minimum(torch.arange(count, device=reference.device), last)
        return [layer[:references][index] for layer in maps], [layer[references:] for layer in maps]

    def map(self, first: list[Tensor], second: list[Tensor], distance: Tensor) -> Tensor:
        """Return where the distance comes from: [N, cells, cells], mean = distance.

        The head reads each cell as if the whole image looked like it; what it reads is
        scaled to the distance of the pair.
        """
        z = local_maps(self.comparison, first, second, MAP_CELLS)
        cells = self.head(z.permute(0, 2, 3, 1).flatten(0, 2))
        cells = cells.reshape(-1, MAP_CELLS, MAP_CELLS)
        mean = cells.mean(dim=(1, 2), keepdim=True)
        # An image without any difference has a mean of 0, and a map of 0.
        return cells * (distance[:, None, None] / torch.where(mean > 0, mean, 1))
