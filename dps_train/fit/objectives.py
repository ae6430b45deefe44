"""Objectives of training on triplets: two losses over distances and judgements.

A triplet is two distances d0 and d1 from one reference, and `judge`: 0 if the first should be
closer, 1 if the second should, in between if people are divided.

`pairwise`, the default: logistic loss on the difference of the two distances, relative to their
mean. It depends on the order of distances, not on their scale.

`judge`: the authors' loss (Pihlgren et al. 2024 and their code, after LPIPS). A small network
judges each triplet from the two distances, and the metric learns through it.

Both work on many contexts at once, which do not influence one another.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.errors import UsageError
from dps_train.fit.settings import OBJECTIVES

SHARPNESS = 5.0
"""Initial sharpness of `pairwise`. It is learned: consistent judgements lead to a high one (above
40 for scalars that follow 500 consistent triplets), rankings of random draws to a low one (2)."""

SHARPENING = 10.0
"""Factor of the learning rate of the sharpness's logarithm."""

FLOOR = 0.01
"""Share of the mean distance that is added to each triplet's mean: if both candidates equal the
reference, they differ only by rounding, which must not dominate the loss."""

SMALLEST = 1e-12
"""Keeps quotients finite if all distances are 0."""

HIDDEN = 32
SLOPE = 0.2
"""Negative slope of the judge's leaky ReLUs."""

CUSHION = 0.1
"""Keeps the judge's quotients finite."""

SYNC_WEIGHT = 10.0
"""Weight of the loss that corrects the sign if the judge network learned an inverted distance."""

BETAS = (0.5, 0.999)
"""Adam's betas, from the authors' code."""


class Objective(nn.Module):
    """A loss over triplets of R contexts."""

    def forward(self, first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
        """Return the mean loss over each context's triplets, summed over contexts.

        Args:
            first: distances of the first candidates [R, T].
            second: distances of the second candidates [R, T].
            judge: in [0, 1]: 0 if the first should be closer, 1 if the second should [R, T].
            counted: bool, whether the context judges the triplet [R, T].
        """
        raise NotImplementedError


class Pairwise(Objective):
    """Logistic loss on the difference of two distances, relative to their mean.

    Args:
        contexts: number of contexts R; each has its own sharpness.
    """

    def __init__(self, contexts: int) -> None:
        super().__init__()
        self.sharpening = nn.Parameter(torch.zeros(contexts, 1))

    def forward(self, first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
        """See `Objective`."""
        mean = (first + second) / 2
        typical = _mean(mean, counted)[:, None].clamp(min=SMALLEST)
        sharpness = SHARPNESS * (SHARPENING * self.sharpening).exp()
        logits = sharpness * (first - second) / (mean + FLOOR * typical)
        return _cross_entropy(logits, judge, counted).sum()


class Judge(Objective):
    """The authors' objective: binary cross-entropy of a small network's judgements.

    The network can learn to read an inverted distance. So if a batch's 2AFC is 0.5 or less, ten
    times the cross-entropy of sigmoid(d0 - d1) is added.

    Args:
        contexts: number of contexts R; each has its own network 5-32-32-1.
        generator: draws the initial weights, the same for each context.
        sync: whether to correct inverted distances.
    """

    def __init__(self, contexts: int, generator: torch.Generator, *, sync: bool = True) -> None:
        super().__init__()
        self.sync = sync
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in itertools.pairwise((5, HIDDEN, HIDDEN, 1)):
            bound = inputs**-0.5
            for parameters, rows in ((self.weights, inputs), (self.biases, 1)):
                draw = (torch.rand(rows, outputs, generator=generator) * 2 - 1) * bound
                parameters.append(nn.Parameter(draw.repeat(contexts, 1, 1)))

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """Return judgements [R, T] of distances [R, T], > 0 if the second seems closer."""
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

    def forward(self, first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
        """See `Objective`."""
        loss = _cross_entropy(self.logits(first, second), judge, counted)
        if self.sync:
            inverted = agreement(first, second, judge, counted) <= 0.5
            direct = _cross_entropy(first - second, judge, counted)
            loss = loss + SYNC_WEIGHT * inverted * direct
        return loss.sum()


def make_objective(name: str, contexts: int, generator: torch.Generator) -> Objective:
    """Return an objective of `OBJECTIVES` for a number of contexts.

    Raises:
        UsageError: the name is unknown.
    """
    if name == "pairwise":
        return Pairwise(contexts)
    if name == "judge":
        return Judge(contexts, generator)
    raise UsageError(f"unknown objective {name!r}: expected one of {', '.join(OBJECTIVES)}")


def rate_factor(step: int, steps: int) -> float:
    """Return the factor of the learning rate: 1 for half of the steps, then falling to 0."""
    return min(1.0, 2 * (1 - step / steps))


@torch.no_grad()
def agreement(first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
    """Return each context's 2AFC score [R]: the agreement of distances and judgements.

    As in BAPPS, a triplet scores the share of people who chose the closer candidate, and 0.5 if
    the distances are equal.
    """
    agreed = torch.where(first > second, judge, 1 - judge)
    return _mean(torch.where(first == second, 0.5, agreed), counted)


def exchange(
    first: Tensor, second: Tensor, judge: Tensor, exchanged: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Exchange the candidates of some triplets, with their judgements.

    If the closer candidate always came first, a judge network would learn that order. So each
    batch exchanges a random half of its triplets.

    Args:
        first: distances of the first candidates [R, T].
        second: distances of the second candidates [R, T].
        judge: judgements [R, T].
        exchanged: bool, the triplets to exchange in every context [T].
    """
    return (
        torch.where(exchanged, second, first),
        torch.where(exchanged, first, second),
        torch.where(exchanged, 1 - judge, judge),
    )


def _cross_entropy(logits: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
    """Return each context's mean binary cross-entropy [R]."""
    return _mean(F.binary_cross_entropy_with_logits(logits, judge, reduction="none"), counted)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, values, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
