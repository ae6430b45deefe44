"""Importances fitted to judged triplets: a convex problem of K + 1 numbers, with intervals.

A judgement is modeled as the toss of a biased coin: the larger the difference of the two
distances, the surer the outcome. A distance is the sum of importance * amount, and every
importance has the same gamma prior. So the negative logarithm of the posterior density of the
importances' logarithms is smooth, and convex in the importances; Newton's method finds its one
minimum. Near it the posterior of the logarithms is approximately normal (Laplace's approximation):
intervals are drawn from it, and `dps_train.judge.next_question` chooses the next triplet by it.

The constants were chosen with ``python -m benchmarks judgements``; see ``docs/judgements.md``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dps_train.judgements.scoring import two_afc_agreement

Numbers = NDArray[np.float64]

SHAPE = 0.5
"""Shape of the gamma prior: the weight of -log importance, which keeps importances above 0. One
that no judgement concerns stays within a factor of about 4 of the others."""

RATE = 0.3
"""Rate of the gamma prior: the weight of the importances' sum. It matters while there are so few
judgements that some importances explain all of them."""

FAINT = 0.02
"""Added to the mean amount that differences are scaled by, for images that hardly differ."""

STEPS = 100
TOLERANCE = 1e-10
FOLDS = 10
SAMPLES = 2000
INTERVAL = (0.05, 0.95)
"""Quantiles between which an importance lies in nine of ten cases."""


@dataclass(frozen=True)
class FittedImportances:
    """The importances that explain judgements best, and their uncertainty.

    Attributes:
        mode: one number > 0 for each amount [A], on the scale of the judgements.
        covariance: of their logarithms [A, A].
    """

    mode: Numbers
    covariance: Numbers

    @property
    def importances(self) -> list[float]:
        """The importances, one number > 0 for each amount; the largest is 1."""
        return (self.mode / self.mode.max()).tolist()

    def sample(self, count: int, generator: torch.Generator) -> Numbers:
        """Draw importances [count, A] from the posterior."""
        normal = torch.randn(count, len(self.mode), generator=generator, dtype=torch.float64)
        logarithms = normal.numpy() @ np.linalg.cholesky(self.covariance).T
        drawn: Numbers = self.mode * np.exp(logarithms)
        return drawn

    def intervals(self, generator: torch.Generator) -> list[tuple[float, float]]:
        """Return the interval (`INTERVAL`) of each importance, as a share of the largest one."""
        drawn = self.sample(SAMPLES, generator)
        shares = drawn / drawn.max(axis=1, keepdims=True)
        low, high = np.quantile(shares, INTERVAL, axis=0).tolist()
        return list(zip(low, high, strict=True))


def fit_importances(first: Tensor, second: Tensor, judge: Tensor) -> FittedImportances:
    """Fit importances to amounts of both candidates [T, A] and judgements [T] in [0, 1]."""
    return fit_differences(scaled_differences(first, second), judge.double().numpy())


def scaled_differences(first: Tensor, second: Tensor) -> Numbers:
    """Return differences of amounts [T, A], divided by the root of their mean sum.

    The larger the amounts, the harder a difference is to see.
    """
    first, second = first.double(), second.double()
    mean = (first + second).sum(dim=1, keepdim=True) / 2
    scaled: Numbers = ((first - second) / (mean + FAINT).sqrt()).numpy()
    return scaled


def fit_differences(
    differences: Numbers, judge: Numbers, weights: Numbers | None = None
) -> FittedImportances:
    """Fit importances to judgements.

    Args:
        differences: `scaled_differences` [T, A]; T may be 0.
        judge: in [0, 1] [T].
        weights: number of judgements that each one counts as [T]; None counts each once.
    """
    counts = np.ones(len(judge)) if weights is None else weights
    mode = np.full(differences.shape[1], SHAPE / RATE)
    value = _loss(mode, differences, judge, counts)
    for _ in range(STEPS):
        chosen = _chosen(mode, differences)
        slope = differences.T @ (counts * (chosen - judge)) + RATE - SHAPE / mode
        curvature = _curvature(differences, chosen, counts) + np.diag(SHAPE / mode**2)
        step = np.asarray(np.linalg.solve(curvature, slope), np.float64)
        fall = float(slope @ step)
        if fall < TOLERANCE:
            break
        mode, value = _line_search(mode, value, step, fall, differences, judge, counts)
    # For the logarithms: the term of the second derivative with the slope is 0 at the minimum.
    chosen = _chosen(mode, differences)
    curvature = _curvature(differences * mode, chosen, counts) + SHAPE * np.eye(len(mode))
    return FittedImportances(mode, np.asarray(np.linalg.inv(curvature), np.float64))


def cross_validated(
    first: Tensor,
    second: Tensor,
    judge: Tensor,
    groups: Sequence[Hashable],
    generator: torch.Generator,
) -> float:
    """Return the agreement with judgements that the fit did not use, by cross-validation.

    Args:
        first: amounts of the first candidates [T, A].
        second: amounts of the second candidates [T, A].
        judge: in [0, 1] [T].
        groups: of the triplets, such as their references [T]; a group is left out as a whole.
            With a single group, triplets are left out instead.
        generator: draws the folds.
    """
    if len(set(groups)) == 1:
        groups = range(len(groups))
    names = list(dict.fromkeys(groups))
    fold = drawn_folds(groups, generator)
    differences, target = scaled_differences(first, second), judge.double().numpy()
    further = np.empty(len(target))
    for left_out in range(min(FOLDS, len(names))):
        rows = fold == left_out
        further[rows] = differences[rows] @ fit_differences(differences[~rows], target[~rows]).mode
    return two_afc_agreement(further, np.zeros(len(further)), target)


def drawn_folds(groups: Sequence[Hashable], generator: torch.Generator) -> NDArray[np.intp]:
    """Return the number of the fold of each row [T]: of at most `FOLDS`, groups stay together."""
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=generator).tolist()
    folds = {names[number]: place % FOLDS for place, number in enumerate(order)}
    return np.array([folds[group] for group in groups], np.intp)


def _loss(mode: Numbers, differences: Numbers, judge: Numbers, counts: Numbers) -> float:
    logits = differences @ mode
    likelihood = np.sum(counts * (np.logaddexp(0, logits) - judge * logits))
    return float(likelihood + RATE * mode.sum() - SHAPE * np.log(mode).sum())


def _chosen(mode: Numbers, differences: Numbers) -> Numbers:
    """Return the probability that the second candidate is chosen [T]."""
    # Unlike exp, tanh cannot overflow.
    probable: Numbers = 0.5 + 0.5 * np.tanh(differences @ mode / 2)
    return probable


def _curvature(differences: Numbers, chosen: Numbers, counts: Numbers) -> Numbers:
    curved: Numbers = (differences * (counts * chosen * (1 - chosen))[:, None]).T @ differences
    return curved


def _line_search(
    mode: Numbers,
    value: float,
    step: Numbers,
    fall: float,
    differences: Numbers,
    judge: Numbers,
    counts: Numbers,
) -> tuple[Numbers, float]:
    """Shorten a Newton step until all importances are above 0 and the loss falls enough."""
    length = 1.0
    while length > TOLERANCE:
        moved = mode - length * step
        if moved.min() > 0:
            reached = _loss(moved, differences, judge, counts)
            if reached <= value - 0.1 * length * fall:
                return moved, reached
        length /= 2
    return mode, value
