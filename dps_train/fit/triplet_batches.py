"""Batches of images to train on end to end: candidates, and who is closer to the reference."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.contexts.context import Context
from dps_train.contexts import check_ordered, pair_table
from dps_train.data.crops import random_crops
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.seeds import generator_for

CROPS_PER_BATCH = 16
"""With one draw of each of six distortions, 240 triplets."""

TRIPLETS_PER_BATCH = 64
"""Of people's, which share no images."""


@dataclass(frozen=True)
class Batch:
    """N references with C candidates each, and what is judged of pairs of candidates.

    Attributes:
        reference: float RGB [N, 3, H, W] in [0, 1], of 256 levels.
        candidates: likewise [N, C, 3, H, W].
        pairs: which candidates are compared [P, 2].
        judge: in [0, 1]: 0 where the pair's first is closer, 1 where its second is [N, P].
    """

    reference: Tensor
    candidates: Tensor
    pairs: Tensor
    judge: Tensor


Batches = Callable[[int], Batch]
"""The batch of each step, the same whenever it is asked for: a training that was cut off goes
on where it was. Several processes each hold a copy, so it must be picklable."""


def triplet_batch(reference: Tensor, p0: Tensor, p1: Tensor, judge: Tensor) -> Batch:
    """Return the batch of N triplets.

    Args:
        reference: float RGB [N, 3, H, W] in [0, 1].
        p0: the first candidates, likewise.
        p1: the second ones.
        judge: in [0, 1]: 0 where p0 is closer, 1 where p1 is [N].
    """
    candidates = torch.stack([p0, p1], dim=1)
    return Batch(reference, candidates, torch.tensor([[0, 1]]), judge[:, None].float())


def ranking_batches(
    images: Sequence[Pixels], context: Context, *, size: int, seed: int
) -> RankingBatches:
    """Return batches of crops with one draw of each distortion that a context judges.

    Args:
        images: to crop.
        context: says which pairs are judged, and how.
        size: side of a crop in pixels.
        seed: of crops and draws.

    Raises:
        UsageError: the context orders no two distortions.
    """
    check_ordered(context)
    return RankingBatches(tuple(images), context, size, seed)


@dataclass(frozen=True)
class RankingBatches:
    """See `ranking_batches`."""

    images: tuple[Pixels, ...]
    context: Context
    size: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        generator = generator_for(f"ranking batch {step}", self.seed)
        crops = random_crops(self.images, CROPS_PER_BATCH, self.size, generator)
        judged = pair_table([self.context])[0]
        kinds = torch.nonzero(judged.any(dim=0) | judged.any(dim=1))[:, 0].tolist()
        drawn = [DISTORTIONS[kind] for kind in kinds]
        candidates = torch.stack(
            [quantize(d.apply(crops, d.sample(len(crops), generator))) for d in drawn], dim=1
        )
        pairs, judge = [], []
        for (first, one), (second, other) in itertools.combinations(enumerate(kinds), 2):
            if judged[one, other] or judged[other, one]:
                pairs.append((first, second))
                judge.append(float(judged[other, one]))
        return Batch(
            crops, candidates, torch.tensor(pairs), torch.tensor(judge).expand(len(crops), -1)
        )
