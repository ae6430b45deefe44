"""The paper's linear head, for hundreds of rankings at once, or for judged triplets.

distance = sum of w_c z_c with w_c >= 0: one scalar per channel and context, on the channel
distances of a frozen network (Pihlgren et al. 2024 and their code, after LPIPS). The
objective is one of `dps_train.fit.objectives`. What differs from the authors' training:

* z is drawn once and shared by all rankings, instead of running the network three times
  a triplet and ranking;
* a batch is a few images with one draw of every distortion each, and every pair of these
  is a triplet;
* without dropout: here a weight sees a mean over positions, not every position.

Rankings do not influence one another: each has weights and an objective of its own,
from equal starts and on equal batches, so a ranking ends the same in any company.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.contexts.context import Context
from dps_infer.progress import track
from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import pair_table
from dps_train.data.crops import random_crops
from dps_train.distortions.distortion import Distortion, quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.objectives import BETAS, PAIRWISE, exchange, make_objective, rate_factor

CROPS = 600
DRAWS = 3
"""Of each distortion, of each crop."""

EPOCHS = 10
TRIPLETS_PER_BATCH = 240
LEARNING_RATE = 1e-3

FEWEST_STEPS = 400
"""Of training on judged triplets, of which there may be few."""

CONTEXTS_AT_ONCE = 24
"""So many rankings' batches stay in a processor's cache; more are slower."""


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
        distances: runs the network and compares.
        images: to crop.
        size: side of a crop in pixels.
        generator: draws crops and parameters.
        crops: how many.
        draws: of each distortion, of each crop.
        distortions: all of them.

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
    objective: str = PAIRWISE,
    epochs: int = EPOCHS,
) -> Tensor:
    """Train a linear head for each of R contexts.

    Args:
        z: draws of each distortion [N, K, D].
        contexts: say which pairs are judged, and how.
        generator: draws the batches, and the initial weights of a judge network.
        objective: one of `dps_train.fit.objectives.OBJECTIVES`.
        epochs: passes over z.

    Returns:
        Weights [R, D] >= 0. A context that orders no two distortions keeps equal ones.

    Raises:
        UsageError: there is no such objective.
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


def fit_one_lin(
    z: Tensor,
    context: Context,
    *,
    generator: torch.Generator,
    objective: str = PAIRWISE,
    epochs: int = EPOCHS,
) -> Tensor:
    """Train a linear head for one context: its weights [D]; see `fit_lin`."""
    return fit_lin(z, [context], generator=generator, objective=objective, epochs=epochs)[0]


def fit_lin_to_triplets(
    first: Tensor,
    second: Tensor,
    judge: Tensor,
    *,
    generator: torch.Generator,
    objective: str = PAIRWISE,
) -> Tensor:
    """Train a linear head on judged triplets.

    Args:
        first: z of the first candidates [T, D].
        second: likewise of the second ones.
        judge: in [0, 1]: 0 where the first is closer, 1 where the second is [T].
        generator: draws the batches, and the initial weights of a judge network.
        objective: one of `dps_train.fit.objectives.OBJECTIVES`.

    Returns:
        Weights [D] >= 0.

    Raises:
        UsageError: there is no such objective.
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
        z: of C candidates a row [N, C, D].
        pairs: which candidates are compared [P, 2].
        judge: of each pair [R, N, P].
        counted: which pairs a context judges [R, P].
        seed: of batches and initial weights.
        objective: its name.
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
