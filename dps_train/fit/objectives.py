"""What training on triplets makes small: two losses over distances and judgements.

A triplet is two distances d0 and d1 from one reference, and `judge`: 0 where the first
should be closer, 1 where the second should, in between where people are divided.

`pairwise`, the default: logistic loss on the difference of the two distances, as a share of
their mean. It is their order that is asked for, so the scale of a distance is free.

`judge`: the authors' (Pihlgren et al. 2024 and their code, after LPIPS). A small network
judges each triplet from the two distances, and the metric learns through it.

Either works on many contexts at once, which do not influence one another.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.errors import UsageError

PAIRWISE, JUDGE = "pairwise", "judge"
OBJECTIVES = (PAIRWISE, JUDGE)

SHARPNESS = 5.0
"""With which `pairwise` begins. It is learned: a clear-cut context wants a sharp line (above
40 for scalars that follow 500 consistent triplets), rankings of random draws a soft one (2)."""

SHARPENING = 10.0
"""How much faster the logarithm of the sharpness learns than a weight."""

FLOOR = 0.01
"""Of the mean distance, added to each triplet's: two candidates that look like the reference
differ by rounding alone, and should not shout."""

SMALLEST = 1e-12
"""Keeps quotients finite where a metric sees nothing at all."""

HIDDEN = 32
SLOPE = 0.2
"""Of the judge's leaky rectifiers."""

CUSHION = 0.1
"""Keeps the judge's quotients finite."""

SYNC_WEIGHT = 10.0
"""Of the loss that turns a distance round which the judge has learned to read upside down."""

BETAS = (0.5, 0.999)
"""The authors', of Adam."""


class Objective(nn.Module):
    """A loss over triplets of R contexts."""

    def forward(self, first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
        """Return the mean loss over each context's triplets, summed over contexts.

        Args:
            first: distances of the first candidates [R, T].
            second: likewise of the second ones.
            judge: in [0, 1]: 0 where the first should be closer, 1 where the second [R, T].
            counted: bool, which triplets the context judges at all [R, T].
        """
        raise NotImplementedError


class Pairwise(Objective):
    """Logistic loss on the difference of two distances, relative to their mean.

    Args:
        contexts: R, each with a sharpness of its own.
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

    A network can as well learn to read a distance that is the wrong way round. So where a
    batch's 2AFC is 0.5 or less, ten times the cross-entropy of sigmoid(d0 - d1) is added.

    Args:
        contexts: R, each with a network 5-32-32-1 of its own.
        generator: draws the initial weights, the same for each.
        sync: whether distances that are the wrong way round are turned.
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
        """Return judgements [R, T] of distances [R, T], > 0 where the second seems closer."""
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
            wrong_way = agreement(first, second, judge, counted) <= 0.5
            direct = _cross_entropy(first - second, judge, counted)
            loss = loss + SYNC_WEIGHT * wrong_way * direct
        return loss.sum()


def make_objective(name: str, contexts: int, generator: torch.Generator) -> Objective:
    """Return an objective of `OBJECTIVES` for a number of contexts.

    Raises:
        UsageError: there is no objective of that name.
    """
    if name == PAIRWISE:
        return Pairwise(contexts)
    if name == JUDGE:
        return Judge(contexts, generator)
    raise UsageError(f"unknown objective {name!r}: expected one of {', '.join(OBJECTIVES)}")


def rate_factor(step: int, steps: int) -> float:
    """Return the share of the learning rate in a step: 1 for half of them, then down to 0."""
    return min(1.0, 2 * (1 - step / steps))


@torch.no_grad()
def agreement(first: Tensor, second: Tensor, judge: Tensor, counted: Tensor) -> Tensor:
    """Return each context's 2AFC score [R]: how far judgements agree with the distances.

    A triplet counts as BAPPS counts it: the share of people who chose the closer one; half
    where the distances are equal.
    """
    agreed = torch.where(first > second, judge, 1 - judge)
    return _mean(torch.where(first == second, 0.5, agreed), counted)


def exchange(
    first: Tensor, second: Tensor, judge: Tensor, exchanged: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Exchange the candidates of some triplets, and what is judged of them.

    Where the closer one always came first, a judge network would learn that by heart: so
    training exchanges half of the triplets, drawn anew for each batch.

    Args:
        first: distances [R, T].
        second: likewise.
        judge: [R, T].
        exchanged: bool, which triplets, the same in every context [T].
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
