"""The paper's linear head, for hundreds of rankings at once.

distance = sum of w_c z_c with w_c >= 0: one scalar per channel and ranking, on `spatial`
channel distances of a frozen network. Trained as the authors train it (Pihlgren et al.
2024 and their code, after LPIPS): a small network judges each triplet from the two
distances, and the weights learn through it. What differs:

* z is drawn once and shared by all rankings, instead of running the network three times
  a triplet and ranking;
* a batch is a few images with one draw of every distortion each, and every pair of these
  is a triplet;
* without dropout: here a weight sees a mean over positions, not every position.

Rankings do not influence one another: each has weights and a judge network of its own,
from equal starts and on equal batches, so a ranking ends the same in any company.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.bank import FeatureDistances
from dps_train.contexts import Context, pair_table
from dps_train.data.batches import random_crops
from dps_train.data.sources import Image
from dps_train.distortions import DISTORTIONS, quantize
from dps_train.progress import track

CROPS = 600
DRAWS = 3
"""Of each distortion, of each crop."""

EPOCHS = 10
ROWS_PER_BATCH = 16
LEARNING_RATE = 1e-3
BETAS = (0.5, 0.999)

HIDDEN = 32
SLOPE = 0.2
"""Of the judge's leaky rectifiers."""

CUSHION = 0.1
"""Keeps the judge's quotients finite."""

WRONG_WAY_WEIGHT = 10.0
"""Of the loss that turns a distance round which the judge has learned to read upside down."""

CONTEXTS_AT_ONCE = 24
"""So many rankings' batches stay in a processor's cache; more are slower."""

PAIRS = torch.tensor(list(itertools.combinations(range(len(DISTORTIONS)), 2)))


def draw_lin_bank(
    distances: FeatureDistances,
    images: Sequence[Image],
    *,
    size: int,
    generator: torch.Generator,
    crops: int = CROPS,
    draws: int = DRAWS,
) -> Tensor:
    """Compare crops of images with draws of each distortion in the paper's range.

    Args:
        distances: runs the network and compares, by `spatial`.
        images: to crop.
        size: side of a crop in pixels.
        generator: draws crops and parameters.
        crops: how many.
        draws: of each distortion, of each crop.

    Returns:
        z [crops * draws, K, D]; a row is a crop with one draw of each distortion.
    """
    batch = random_crops(images, crops, size, generator)
    rows = []
    for some in track(batch.split(64), "draws for lin"):
        reference = distances.maps(some)
        for _ in range(draws):
            changed = [quantize(d.apply(some, d.sample(len(some), generator))) for d in DISTORTIONS]
            rows.append(torch.stack([distances.z(reference, one) for one in changed], dim=1))
    return torch.cat(rows)


def fit_lin(
    z: Tensor, contexts: Sequence[Context], *, generator: torch.Generator, epochs: int = EPOCHS
) -> Tensor:
    """Train a linear head for each of R contexts.

    Args:
        z: draws of each distortion [N, K, D].
        contexts: say which pairs are judged, and how.
        generator: draws the judges' initial weights and the batches.
        epochs: passes over z.

    Returns:
        Weights [R, D] >= 0. A context that orders no two distortions keeps equal ones.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    parts = pair_table(contexts).split(CONTEXTS_AT_ONCE)
    return torch.cat([_fit(z, judged, seed, epochs) for judged in track(parts, "lin heads")])


def fit_one_lin(
    z: Tensor, context: Context, *, generator: torch.Generator, epochs: int = EPOCHS
) -> Tensor:
    """Train a linear head for one context: its weights [D]; see `fit_lin`."""
    return fit_lin(z, [context], generator=generator, epochs=epochs)[0]


class Judges(nn.Module):
    """A small network 5-32-32-1 for each of R contexts: from two distances to a judgement.

    Args:
        contexts: R.
        generator: draws the initial weights, the same for each.
    """

    def __init__(self, contexts: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = (5, HIDDEN, HIDDEN, 1)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in itertools.pairwise(widths):
            bound = inputs**-0.5
            for parameters, rows in ((self.weights, inputs), (self.biases, 1)):
                draw = (torch.rand(rows, outputs, generator=generator) * 2 - 1) * bound
                parameters.append(nn.Parameter(draw.repeat(contexts, 1, 1)))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits [R, T], > 0 where the second is judged closer.

        Args:
            first: distances of the first candidates [R, T].
            second: likewise of the second ones.
        """
        values = torch.stack(
            [
                first,
                second,
                first - second,
                first / (second + CUSHION),
                second / (first + CUSHION),
            ],
            dim=2,
        )
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, values, weight)
            if number < last:
                values = F.leaky_relu(values, SLOPE)
        return values[:, :, 0]


def lin_loss(
    judges: Judges, first: Tensor, second: Tensor, judge: Tensor, counted: Tensor
) -> Tensor:
    """Return the authors' objective, summed over contexts.

    Binary cross-entropy of the judges' answers; and where a batch's 2AFC is 0.5 or less,
    ten times that of sigmoid(d0 - d1), because a judge can as well learn to read a
    distance that is the wrong way round.

    Args:
        judges: one network a context.
        first: distances of the first candidates [R, T].
        second: likewise of the second ones.
        judge: 1 where the second should be closer, else 0 [R, T].
        counted: whether the context orders the two at all [R, T].
    """
    count = counted.sum(dim=1).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return torch.where(counted, values, 0).sum(dim=1) / count

    difference = first - second
    with torch.no_grad():
        agreed = torch.where(difference == 0, 0.5, ((difference > 0) == (judge > 0.5)).float())
        wrong_way = mean(agreed) <= 0.5
    answers, direct = (
        mean(F.binary_cross_entropy_with_logits(logits, judge, reduction="none"))
        for logits in (judges(first, second), difference)
    )
    return (answers + WRONG_WAY_WEIGHT * wrong_way * direct).sum()


def _fit(z: Tensor, judged: Tensor, seed: int, epochs: int) -> Tensor:
    """Train weights [R, D] for contexts that judge pairs [R, K, K]."""
    generator = torch.Generator().manual_seed(seed)
    contexts, channels = len(judged), z.shape[-1]
    weights = torch.full((contexts, channels), channels**-0.5, requires_grad=True)
    judges = Judges(contexts, generator)
    optimizer = torch.optim.Adam([weights, *judges.parameters()], lr=LEARNING_RATE, betas=BETAS)
    steps = epochs * -(-len(z) // ROWS_PER_BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 2 * (1 - step / steps))
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(z), generator=generator).split(ROWS_PER_BATCH):
            distances = (weights @ z[rows].flatten(0, 1).T).unflatten(1, (len(rows), -1))
            # Either may come first, so that no judge can learn the answer by heart.
            swapped = torch.rand(len(rows), len(PAIRS), generator=generator) < 0.5
            first = torch.where(swapped, PAIRS[:, 1], PAIRS[:, 0]).flatten()
            second = torch.where(swapped, PAIRS[:, 0], PAIRS[:, 1]).flatten()
            row = torch.arange(len(rows)).repeat_interleave(len(PAIRS))
            judge = judged[:, second, first]
            loss = lin_loss(
                judges,
                distances[:, row, first],
                distances[:, row, second],
                judge.float(),
                judge | judged[:, first, second],
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                weights.clamp_(min=0)
    return weights.detach()
