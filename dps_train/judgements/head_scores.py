"""Scores on BAPPS of many heads of one network: the network runs only once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.progress import track
from dps_train.judgements.bapps import Bapps
from dps_train.judgements.image_distance import bounded_batches
from dps_train.judgements.scoring import BATCH, BappsScores, jnd_score, two_afc_scores
from dps_train.judgements.triplets import pixel_batches
from dps_train.model.metric import Metric


@dataclass(frozen=True)
class BappsDistances:
    """Channel distances of the images of BAPPS and their judgements, by split.

    Attributes:
        first: of p0 to the reference [N, D].
        second: of p1 to the reference [N, D].
        judge: the share of people who chose p1 [N].
        pairs: of the two images of each pair [P, D].
        same: the share of people who found them the same [P].
    """

    first: dict[str, Tensor]
    second: dict[str, Tensor]
    judge: dict[str, tuple[float, ...]]
    pairs: dict[str, Tensor]
    same: dict[str, tuple[float, ...]]

    def mapped(self, function: Callable[[Tensor], Tensor]) -> BappsDistances:
        """Return the same with `function` applied to every tensor [N, D]."""
        return dataclasses.replace(
            self,
            first={name: function(z) for name, z in self.first.items()},
            second={name: function(z) for name, z in self.second.items()},
            pairs={name: function(z) for name, z in self.pairs.items()},
        )

    @torch.no_grad()
    def scores(self, distance: Callable[[Tensor], Tensor]) -> BappsScores:
        """Score a distance [N] of channel distances [N, D]; raises as `jnd_score`."""
        two_afc = {name: float(each.mean()) for name, each in self.two_afc_each(distance).items()}
        jnd = {
            name: jnd_score(distance(self.pairs[name]).numpy(), same)
            for name, same in self.same.items()
        }
        return BappsScores.of(two_afc, jnd)

    @torch.no_grad()
    def two_afc_each(self, distance: Callable[[Tensor], Tensor]) -> dict[str, NDArray[np.float64]]:
        """Return the 2AFC score of each triplet, by split; their mean is the score of the split."""
        return {
            name: two_afc_scores(
                distance(self.first[name]).numpy(), distance(self.second[name]).numpy(), judge
            )
            for name, judge in self.judge.items()
        }


def bapps_distances(metric: Metric, bapps: Bapps, device: torch.device) -> BappsDistances:
    """Compare all images of BAPPS, each at its own size, with the network of a metric on `device`.

    The head is not used; results come back to the CPU.

    Raises:
        ImageError: an image cannot be read, or sizes differ.
    """

    def compared(first: Pixels, second: Pixels) -> Tensor:
        parts = [
            metric.features(*(torch.from_numpy(images).to(device) for images in both))
            for both in bounded_batches(first, second)
        ]
        return torch.cat([metric.comparison(*maps) for maps in parts]).cpu()

    first, second, pairs = {}, {}, {}
    with torch.no_grad():
        for name in track(list(bapps.two_afc), "judged triplets"):
            split = bapps.two_afc[name]
            columns = (split.reference, split.p0, split.p1)
            both = [
                (compared(reference, p0), compared(reference, p1))
                for reference, p0, p1 in pixel_batches(columns, BATCH)
            ]
            first[name], second[name] = (torch.cat(z) for z in zip(*both, strict=True))
        for name in track(list(bapps.jnd), "judged pairs"):
            images = pixel_batches((bapps.jnd[name].p0, bapps.jnd[name].p1), BATCH)
            pairs[name] = torch.cat([compared(p0, p1) for p0, p1 in images])
    return BappsDistances(
        first,
        second,
        {name: split.judge for name, split in bapps.two_afc.items()},
        pairs,
        {name: split.same for name, split in bapps.jnd.items()},
    )
