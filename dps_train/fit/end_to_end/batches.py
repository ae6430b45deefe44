"""Batches for end-to-end training: references, candidates, and which candidate is closer.

The batch of a step depends only on the step and the seed, so that a resumed training continues as
if it had not been interrupted.
"""

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
from dps_train.judgements.triplets import Triplets, load_triplets
from dps_train.seeds import generator_for

CROPS_PER_BATCH = 16
"""With one draw of each of six distortions, 240 triplets."""

TRIPLETS_PER_BATCH = 64
"""Judged triplets, which share no images."""


@dataclass(frozen=True)
class Batch:
    """N references with C candidates each, and judgements of pairs of candidates.

    Attributes:
        reference: float RGB [N, 3, H, W] in [0, 1], multiples of 1/255.
        candidates: float RGB [N, C, 3, H, W] in [0, 1], multiples of 1/255.
        pairs: indices of the candidates that are compared [P, 2].
        judge: in [0, 1]: 0 if the pair's first candidate is closer, 1 if its second is [N, P].
    """

    reference: Tensor
    candidates: Tensor
    pairs: Tensor
    judge: Tensor


Batches = Callable[[int], Batch]
"""Returns the batch of a step. It must be picklable, since each process holds a copy."""


def triplet_batch(reference: Tensor, p0: Tensor, p1: Tensor, judge: Tensor) -> Batch:
    """Return the batch of N triplets.

    Args:
        reference: float RGB [N, 3, H, W] in [0, 1].
        p0: the first candidates, like `reference`.
        p1: the second candidates, like `reference`.
        judge: in [0, 1]: 0 if p0 is closer, 1 if p1 is [N].
    """
    candidates = torch.stack([p0, p1], dim=1)
    return Batch(reference, candidates, torch.tensor([[0, 1]]), judge[:, None].float())


@dataclass(frozen=True)
class RankingBatches:
    """Crops with one draw of each distortion that a context orders; see `ranking_batches`."""

    images: tuple[Pixels, ...]
    context: Context
    size: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        generator = generator_for(f"ranking batch {step}", self.seed)
        crops = random_crops(self.images, CROPS_PER_BATCH, self.size, generator)
        less = pair_table([self.context])[0]
        kinds = torch.nonzero(less.any(dim=0) | less.any(dim=1))[:, 0].tolist()
        drawn = [DISTORTIONS[kind] for kind in kinds]
        candidates = torch.stack(
            [quantize(d.apply(crops, d.sample(len(crops), generator))) for d in drawn], dim=1
        )
        pairs, judge = [], []
        for (first, one), (second, other) in itertools.combinations(enumerate(kinds), 2):
            if less[one, other] or less[other, one]:
                pairs.append((first, second))
                judge.append(float(less[other, one]))
        return Batch(
            crops, candidates, torch.tensor(pairs), torch.tensor(judge).expand(len(crops), -1)
        )


def ranking_batches(
    images: Sequence[Pixels], context: Context, *, size: int, seed: int
) -> RankingBatches:
    """Return batches of crops with one draw of each distortion that a context orders.

    Args:
        images: images to crop.
        context: gives the judgements.
        size: side of a crop in pixels.
        seed: of crops and draws.

    Raises:
        UsageError: the context orders no two distortions.
    """
    check_ordered(context)
    return RankingBatches(tuple(images), context, size, seed)


@dataclass(frozen=True)
class TripletBatches:
    """Random judged triplets.

    Attributes:
        triplets: the triplets to draw from.
        size: side in pixels that images are resized to.
        seed: of the draws.
    """

    triplets: Triplets
    size: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        generator = generator_for(f"triplet batch {step}", self.seed)
        rows = torch.randint(len(self.triplets), (TRIPLETS_PER_BATCH,), generator=generator)
        drawn = load_triplets(self.triplets.select(rows.tolist()), self.size)
        return triplet_batch(drawn.reference, drawn.p0, drawn.p1, drawn.judge)
