"""The paper's linear head, for hundreds of rankings at once, or for judged triplets.

distance = sum of w_c z_c with w_c >= 0: one scalar per channel and context, on the channel
distances of a frozen network (Pihlgren et al. 2024 and their code, after LPIPS). The
objective is one of `dps_train.fit.objectives`. Differences from the authors' training:

* z is drawn once and shared by all rankings, instead of running the network three times
  per triplet and ranking;
* a batch consists of a few images with one draw of every distortion each, and every pair of
  draws is a triplet;
* there is no dropout: here a weight sees a mean over positions, not every position.

Each ranking has its own weights and objective, from equal initial values and on equal batches, so
its result does not depend on which rankings are trained together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.contexts.context import Context
from dps_infer.progress import track
from dps_train.contexts import pair_table
from dps_train.data.crops import random_crops
from dps_train.distortions.distortion import Distortion, quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.objectives import BETAS, exchange, make_objective, rate_factor
from dps_train.model.feature_distances import FeatureDistances

CROPS = 600
DRAWS = 3
"""Draws of each distortion per crop."""

EPOCHS = 10
TRIPLETS_PER_BATCH = 240
LEARNING_RATE = 1e-3

FEWEST_STEPS = 400
"""Minimum steps of training on judged triplets, of which there may be few."""

CONTEXTS_AT_ONCE = 24
"""Rankings whose batches fit in a processor's cache together; more are slower."""


def draw_lin_bank(
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    size: int,
    generator: torch.Generator,
    crops: int = CROPS,
    draws: int = DRAWS,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> Tensor:
    """Compare crops of images with draws of each distortion in its range.

    Args:
        distances: the network and its comparison.
        images: images to crop.
        size: side of a crop in pixels.
        generator: draws crops and parameters.
        crops: number of crops.
        draws: draws of each distortion per crop.
        distortions: all K distortions.

    Returns:
        z [crops * draws, K, D]; a row is a crop with one draw of each distortion.
    """
    batch = random_crops(images, crops, size, generator)
    rows = []
    for some in track(batch.split(64), "draws for lin"):
        reference = distances.maps(some)
        for _ in range(draws):
            changed = [quantize(d.apply(some, d.sample(len(some), generator))) for d in distortions]
            rows.append(torch.stack([distances.z(reference, one) for one in changed], dim=1))
    return torch.cat(rows)


def fit_lin(
    z: Tensor,
    contexts: Sequence[Context],
    *,
    generator: torch.Generator,
    objective: str = "pairwise",
    epochs: int = EPOCHS,
) -> Tensor:
    """Train a linear head for each of R contexts.

    Args:
        z: draws of each distortion [N, K, D].
        contexts: give the judgements of pairs of distortions.
        generator: draws the batches, and the initial weights of a judge network.
        objective: one of `dps_train.fit.settings.OBJECTIVES`.
        epochs: passes over z.

    Returns:
        Weights [R, D] >= 0. They stay equal if a context orders no two distortions.

    Raises:
        UsageError: the objective is unknown.
    """
    seed = _drawn_seed(generator)
    pairs = torch.tensor(list(itertools.combinations(range(z.shape[1]), 2)))
    first, second = pairs.T
    heads = []
    for judged in track(pair_table(contexts).split(CONTEXTS_AT_ONCE), "lin heads"):
        second_closer = judged[:, second, first]
        counted = second_closer | judged[:, first, second]
        judge = second_closer.float()[:, None].expand(-1, len(z), -1)
        heads.append(_fit(z, pairs, judge, counted, seed, objective, epochs))
    return torch.cat(heads)


def fit_lin_to_triplets(
    first: Tensor,
    second: Tensor,
    judge: Tensor,
    *,
    generator: torch.Generator,
    objective: str = "pairwise",
) -> Tensor:
    """Train a linear head on judged triplets.

    Args:
        first: z of the first candidates [T, D].
        second: z of the second candidates [T, D].
        judge: in [0, 1]: 0 if the first is closer, 1 if the second is [T].
        generator: draws the batches, and the initial weights of a judge network.
        objective: one of `dps_train.fit.settings.OBJECTIVES`.

    Returns:
        Weights [D] >= 0.

    Raises:
        UsageError: the objective is unknown.
    """
    z = torch.stack([first, second], dim=1)
    pairs = torch.tensor([[0, 1]])
    counted = torch.ones(1, 1, dtype=torch.bool)
    epochs = max(EPOCHS, -(-FEWEST_STEPS * TRIPLETS_PER_BATCH // len(z)))
    seed = _drawn_seed(generator)
    return _fit(z, pairs, judge[None, :, None].float(), counted, seed, objective, epochs)[0]


def _fit(
    z: Tensor,
    pairs: Tensor,
    judge: Tensor,
    counted: Tensor,
    seed: int,
    objective: str,
    epochs: int,
) -> Tensor:
    """Train weights [R, D] on pairs of the candidates of each row.

    Args:
        z: channel distances of C candidates per row [N, C, D].
        pairs: indices of the candidates that are compared [P, 2].
        judge: judgement of each pair [R, N, P].
        counted: bool, whether a context judges a pair [R, P].
        seed: of batches and initial weights.
        objective: one of `dps_train.fit.settings.OBJECTIVES`.
        epochs: passes over the rows.
    """
    generator = torch.Generator().manual_seed(seed)
    contexts, channels = len(judge), z.shape[-1]
    weights = torch.full((contexts, channels), channels**-0.5, requires_grad=True)
    loss_of = make_objective(objective, contexts, generator)
    optimizer = torch.optim.Adam([weights, *loss_of.parameters()], lr=LEARNING_RATE, betas=BETAS)
    rows_per_batch = TRIPLETS_PER_BATCH // len(pairs)
    steps = epochs * -(-len(z) // rows_per_batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps))
    for _ in range(epochs):
        for rows in torch.randperm(len(z), generator=generator).split(rows_per_batch):
            distances = (weights @ z[rows].flatten(0, 1).T).unflatten(1, (len(rows), -1))
            triplets = exchange(
                distances[:, :, pairs[:, 0]].flatten(1),
                distances[:, :, pairs[:, 1]].flatten(1),
                judge[:, rows].flatten(1),
                torch.rand(len(rows) * len(pairs), generator=generator) < 0.5,
            )
            loss = loss_of(*triplets, counted.repeat(1, len(rows)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                weights.clamp_(min=0)
    return weights.detach()


def _drawn_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (1,), generator=generator))
