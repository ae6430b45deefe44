"""The distance bank: channel distances of many pairs, computed once for every context.

With a frozen backbone the channel distances z of a pair depend neither on the context nor on the
head. So the network runs once per image, and all training happens on z.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.progress import track
from dps_train.data.crops import random_crops
from dps_train.distortions.families import FAMILY_SIZE, draw_family
from dps_train.model.backbones import Backbone
from dps_train.model.comparisons import Comparison
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.pair_encoder import PairEncoder

BATCH = 64

PURPOSE = "distance bank"
"""Purpose of the random generator, in memory and on disk, so that both draw the same bank."""


@dataclass(frozen=True)
class Bank:
    """Channel distances of C crops to F changes of each, and the changes that were made.

    Attributes:
        z: channel distances [C, F, D].
        amounts: of each distortion [C, F, K].
        other: share of other changes [C, F] (`dps_train.distortions.random_changes.Draw`).
    """

    z: Tensor
    amounts: Tensor
    other: Tensor


class FeatureDistances:
    """A frozen backbone with a fixed or learned comparison: images in, channel distances out.

    Only the normalization of `preprocess` is used: images come at the working size. The network
    runs on `device`; results come back to the CPU.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: Backbone,
        comparison: Comparison | PairEncoder,
        device: torch.device,
    ) -> None:
        self.preprocess = preprocess.to(device)
        self.backbone = backbone.to(device)
        self.comparison = comparison.to(device)
        self.device = device

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of float RGB images [N, 3, size, size] in [0, 1], on the device."""
        normalized = self.preprocess.normalize(images.to(self.device))
        return self.comparison.normalized(self.backbone(normalized))

    @torch.no_grad()
    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return z [N, D] of references' maps and changed images, on the CPU."""
        return self.comparison(reference, self.maps(changed)).cpu()


def metric_distances(metric: Metric, device: torch.device) -> FeatureDistances:
    """Return the channel distances of a metric's network and comparison."""
    return FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)


def build_bank(
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    generator: torch.Generator,
) -> Bank:
    """Build a bank of at least `pairs` in memory; `dps_train.bank.stored` does so on disk."""
    crops = crop_count(pairs)
    parts = list(bank_parts(distances, images, crops=crops, size=size, generator=generator))
    return Bank(
        torch.cat([part.z for part in parts]),
        torch.cat([part.amounts for part in parts]),
        torch.cat([part.other for part in parts]),
    )


def crop_count(pairs: int) -> int:
    """Return the number of crops whose families of changes give at least so many pairs."""
    return -(-pairs // FAMILY_SIZE)


def bank_parts(
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    crops: int,
    size: int,
    generator: torch.Generator,
) -> Iterator[Bank]:
    """Draw crops and families of changes, compare them, and yield them batch by batch."""
    for start in track(range(0, crops, BATCH), "distance bank"):
        batch = random_crops(images, min(BATCH, crops - start), size, generator)
        reference = distances.maps(batch)
        family = draw_family(batch, generator)
        yield Bank(
            torch.stack([distances.z(reference, draw.images) for draw in family], dim=1),
            torch.stack([draw.amounts for draw in family], dim=1),
            torch.stack([draw.other for draw in family], dim=1),
        )
