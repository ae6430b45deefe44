"""Importances from judged triplets: a convex problem of K + 1 numbers, and how sure it is.

A judgement is taken for the toss of a coin that falls the more surely, the more the two
distances differ, where the distance is the sum of importance * amount. A priori every
importance has the same gamma distribution. So minus the logarithm of the posterior density
of the importances' logarithms is convex in the importances, and smooth; Newton's method
finds its one minimum. Near it the posterior is a normal distribution of the logarithms
(Laplace's approximation), from which intervals are drawn, and by which the next triplet to
ask for is chosen (`dps_train.judge.next_question`).

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
"""Of the gamma prior: the weight of the -log importance that keeps each one above 0. What no
judgement is about stays within a factor of 4 or so of the others."""

RATE = 0.3
"""Of the gamma prior: the weight of the importances' sum. It matters while judgements are so
few that some importances explain them all."""

FAINT = 0.02
"""Added to the mean amount that differences are scaled by: images that hardly differ."""

STEPS = 100
TOLERANCE = 1e-10
FOLDS = 10
SAMPLES = 2000
INTERVAL = (0.05, 0.95)
"""Quantiles between which an importance lies in nine of ten cases."""


@dataclass(frozen=True)
class Fitted:
    """Importances that explain judgements best, and how sure that is.

    Attributes:
        mode: one number > 0 for each amount [A], on the scale that explains the judgements.
        covariance: of their logarithms [A, A].
    """

    mode: Numbers
    covariance: Numbers

    @property
    def importances(self) -> list[float]:
        """One number > 0 for each amount; the largest is 1."""
        return (self.mode / self.mode.max()).tolist()

    def sample(self, count: int, generator: torch.Generator) -> Numbers:
        """Draw importances [count, A] that the judgements allow for."""
        normal = torch.randn(count, len(self.mode), generator=generator, dtype=torch.float64)
        logarithms = normal.numpy() @ np.linalg.cholesky(self.covariance).T
        drawn: Numbers = self.mode * np.exp(logarithms)
        return drawn

    def intervals(self, generator: torch.Generator) -> list[tuple[float, float]]:
        """Return for each amount between which values its importance lies in nine of ten cases.

        Values are shares of the largest importance, whichever that is.
        """
        drawn = self.sample(SAMPLES, generator)
        shares = drawn / drawn.max(axis=1, keepdims=True)
        low, high = np.quantile(shares, INTERVAL, axis=0).tolist()
        return list(zip(low, high, strict=True))


def fit_importances(first: Tensor, second: Tensor, judge: Tensor) -> Fitted:
    """Fit how much each amount counts to judgements.

    Args:
        first: amounts of the first candidates [T, A].
        second: likewise of the second ones.
        judge: in [0, 1]: 0 where the first is closer, 1 where the second is [T].
    """
    return fit_differences(scaled_differences(first, second), judge.double().numpy())


def scaled_differences(first: Tensor, second: Tensor) -> Numbers:
    """Return differences of amounts [T, A] over the root of how much there is of both.

    A difference is seen the worse, the more there is of everything.
    """
    first, second = first.double(), second.double()
    mean = (first + second).sum(dim=1, keepdim=True) / 2
    scaled: Numbers = ((first - second) / (mean + FAINT).sqrt()).numpy()
    return scaled


def fit_differences(differences: Numbers, judge: Numbers) -> Fitted:
    """Fit importances to judgements [T] on `scaled_differences` [T, A]; T may be 0."""
    mode = np.full(differences.shape[1], SHAPE / RATE)
    value = _loss(mode, differences, judge)
    for _ in range(STEPS):
        chosen = _chosen(mode, differences)
        slope = differences.T @ (chosen - judge) + RATE - SHAPE / mode
        curvature = _curvature(differences, chosen) + np.diag(SHAPE / mode**2)
        step = np.asarray(np.linalg.solve(curvature, slope), np.float64)
        fall = float(slope @ step)
        if fall < TOLERANCE:
            break
        mode, value = _moved(mode, value, step, fall, differences, judge)
    # Of the logarithms: the slope's part of the second derivative is 0 at the minimum.
    chosen = _chosen(mode, differences)
    curvature = _curvature(differences * mode, chosen) + SHAPE * np.eye(len(mode))
    return Fitted(mode, np.asarray(np.linalg.inv(curvature), np.float64))


def cross_validated(
    first: Tensor,
    second: Tensor,
    judge: Tensor,
    groups: Sequence[Hashable],
    generator: torch.Generator,
) -> float:
    """Return how often people agree with importances that were fitted without their judgement.

    Args:
        first: amounts of the first candidates [T, A].
        second: likewise of the second ones.
        judge: in [0, 1] [T].
        groups: what a triplet shares with others, such as its reference [T]; a group is left out
            as a whole. With a single one, triplets are left out instead.
        generator: draws which groups are left out together.

    Returns:
        The share as `dps_train.judgements.scoring.two_afc_agreement` counts it.
    """
    if len(set(groups)) == 1:
        groups = range(len(groups))
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=generator).tolist()
    folds = {names[number]: place % FOLDS for place, number in enumerate(order)}
    fold = np.array([folds[group] for group in groups])
    differences, target = scaled_differences(first, second), judge.double().numpy()
    further = np.empty(len(target))
    for left_out in range(min(FOLDS, len(names))):
        rows = fold == left_out
        further[rows] = differences[rows] @ fit_differences(differences[~rows], target[~rows]).mode
    return two_afc_agreement(further, np.zeros(len(further)), target)


def _loss(mode: Numbers, differences: Numbers, judge: Numbers) -> float:
    logits = differences @ mode
    likelihood = np.sum(np.logaddexp(0, logits) - judge * logits)
    return float(likelihood + RATE * mode.sum() - SHAPE * np.log(mode).sum())


def _chosen(mode: Numbers, differences: Numbers) -> Numbers:
    """Return how probable it is that the second candidate is chosen [T]."""
    # As tanh it cannot overflow.
    probable: Numbers = 0.5 + 0.5 * np.tanh(differences @ mode / 2)
    return probable


def _curvature(differences: Numbers, chosen: Numbers) -> Numbers:
    curved: Numbers = (differences * (chosen * (1 - chosen))[:, None]).T @ differences
    return curved


def _moved(
    mode: Numbers, value: float, step: Numbers, fall: float, differences: Numbers, judge: Numbers
) -> tuple[Numbers, float]:
    """Go along a Newton step as far as all stays above 0 and the loss falls as it should."""
    length = 1.0
    while length > TOLERANCE:
        moved = mode - length * step
        if moved.min() > 0:
            reached = _loss(moved, differences, judge)
            if reached <= value - 0.1 * length * fall:
                return moved, reached
        length /= 2
    return mode, value
