"""The metric: preprocess, backbone, comparison, head; uint8 images in, distances out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dps_train.model.backbone.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from dps_train.model.comparisons import PairComparison
from dps_train.model.heads import Head
from dps_train.model.resizing import resize

MAP_CELLS = 16
"""Cells along each side of the map that shows where a distance comes from."""

FAINT = 0.1
"""Difference, as a share of the mean difference, whose value in a map is one half."""


class Preprocess(nn.Module):
    """From uint8 RGB [N, H, W, 3] to normalized float [N, 3, size, size].

    `size` None keeps the size of the images; mean and std are per channel, of values in [0, 1].
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
        self.normalize_mean = _three(mean)
        self.normalize_std = _three(std)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize float RGB [N, 3, H, W] in [0, 1]."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Convert, resize and normalize."""
        planes = images.permute(0, 3, 1, 2).float() / 255
        return self.normalize(resize(planes, self.size))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def shares(places: Tensor) -> Tensor:
    """Scale maps >= 0 [N, H, W] to a mean of 1; a map of zeros becomes ones."""
    mean = places.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean > 0, places / torch.where(mean > 0, mean, 1), 1)


def spread(places: Tensor) -> Tensor:
    """Compress maps >= 0 [N, H, W] to [0, 1): 0 stays 0, values near the mean are close to 1.

    Squared differences peak at a few edges, which would hide the rest of a part that differs.
    """
    mean = places.mean(dim=(1, 2), keepdim=True)
    return places / (places + FAINT * torch.where(mean > 0, mean, 1))


class Metric(nn.Module):
    """A perceptual distance that explains itself: images to maps to z to amounts and distance."""

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: Backbone,
        comparison: PairComparison,
        head: Head,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.comparison = comparison
        self.head = head

    def forward(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compare whole images of equal height and width in the current context.

        Args:
            reference: uint8 RGB [R, H, W, 3]; R is N, or 1 to compare one with all.
            distorted: uint8 RGB [N, H, W, 3].

        Returns:
            distance [N], 0 = identical, higher = more different;
            amounts [N, A], >= 0;
            map [N, `MAP_CELLS`, `MAP_CELLS`], whose mean is the distance.
        """
        amounts, where = self.read(reference, distorted)
        distance = amounts @ self.head.importances
        return distance, amounts, distance[:, None, None] * where

    def read(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor]:
        """Return amounts [N, A], and a map of where features differ, with mean 1."""
        first, second = self.features(reference, distorted)
        amounts = self.head.amounts(self.comparison(first, second))
        where = self.comparison.difference_map(first, second, MAP_CELLS)
        return amounts, shares(spread(where))

    def features(self, reference: Tensor, distorted: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return both images' feature maps, each [N, C, H', W'] per layer."""
        planes = [
            resize(images.permute(0, 3, 1, 2).float() / 255, self.preprocess.size)
            for images in (reference, distorted)
        ]
        first, second = self.maps_of_both(*planes)
        index = self.reference_index(reference, distorted)
        return [layer.index_select(0, index) for layer in first], second

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return feature maps of float RGB [N, 3, H, W] in [0, 1] at the working size."""
        return self.comparison.normalized(self.backbone(self.preprocess.normalize(images)))

    def maps_of_both(
        self, reference: Tensor, distorted: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return `maps` of references and of distorted images, whose numbers may differ.

        In an exported graph the two have no node in common, so that the maps of a reference can
        be kept for further candidates (`dps_infer.graph.split`). PyTorch's results depend on the
        batch size: there both are one batch, so that equal images have equal maps.
        """
        if torch.compiler.is_exporting():
            return self.maps(reference), self.maps(distorted)
        maps = self.maps(torch.cat([reference, distorted]))
        references = reference.shape[0]
        return [layer[:references] for layer in maps], [layer[references:] for layer in maps]

    @staticmethod
    def reference_index(reference: Tensor, distorted: Tensor) -> Tensor:
        """Return the index of each candidate's reference: [N].

        It is 0, 1, 2 ... for as many references as candidates and 0, 0, 0 ... for one reference,
        in one graph.
        """
        last = torch.arange(reference.shape[0], device=reference.device)[-1:]
        return torch.minimum(torch.arange(distorted.shape[0], device=reference.device), last)
