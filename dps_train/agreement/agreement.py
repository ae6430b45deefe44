"""How far one metric agrees with people on a set of scored pairs, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dps_train.agreement.correlations import (
    Correlation,
    Groups,
    Kendall,
    Pearson,
    Spearman,
    fitted_curve,
)
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.seeds import generator_for

RESAMPLES = 2000
INTERVAL = (0.025, 0.975)
"""Quantiles over the resamples."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; None where it is not defined.

    Attributes:
        value: of the data.
        low: `INTERVAL` over resampled references.
        high: upper end of it.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Correlations:
    """Agreement in [-1, 1]; 1 where the metric orders pairs as people do.

    Attributes:
        spearman: rank correlation.
        kendall: tau-b.
        pearson: after the four-parameter logistic curve that fits all pairs of the set.
    """

    spearman: Estimate
    kendall: Estimate
    pearson: Estimate


@dataclass(frozen=True)
class Agreement:
    """Agreement of one metric with people.

    Attributes:
        overall: over all pairs.
        within: mean over the correlations within each reference.
        kinds: over all pairs of a kind of change, by kind.
    """

    overall: Correlations
    within: Correlations
    kinds: dict[str, Correlations]


def resampled_references(references: int, seed: int, *, resamples: int = RESAMPLES) -> Floats:
    """Return how often each reference is drawn in each bootstrap sample: [B, R], rows add to R."""
    generator = generator_for("bootstrap", seed)
    drawn = torch.randint(references, (resamples, references), generator=generator)
    counts = torch.zeros(resamples, references, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64)).numpy()


def agreement(pairs: ScoredPairs, distances: Floats, counts: Floats) -> Agreement:
    """Measure how far distances agree with people.

    Args:
        pairs: N pairs with their scores.
        distances: of a metric [N], finite, higher means more different.
        counts: resamples of the references [B, R]; see `resampled_references`.
    """
    people, groups = pairs.dissimilarity, pairs.groups
    predicted = fitted_curve(people, distances)
    whole = _correlations(people, distances, predicted, groups)
    kinds = {}
    for kind in sorted(set(pairs.kinds) - {""}):
        rows = np.flatnonzero([one == kind for one in pairs.kinds])
        present, some = np.unique(groups[rows], return_inverse=True)
        parts = _correlations(people[rows], distances[rows], predicted[rows], some)
        kinds[kind] = Correlations(*(overall(one, counts[:, present]) for one in parts))
    return Agreement(
        Correlations(*(overall(one, counts) for one in whole)),
        Correlations(*(within(one, counts) for one in whole)),
        kinds,
    )


def overall(correlation: Correlation, counts: Floats) -> Estimate:
    """Return a correlation over all pairs, with its interval."""
    (value,) = correlation.overall(np.ones((1, counts.shape[1])))
    return estimate(float(value), correlation.overall(counts))


def within(correlation: Correlation, counts: Floats) -> Estimate:
    """Return the mean of a correlation over the references, with its interval."""
    (value,), drawn = (
        mean_within(correlation, some) for some in (np.ones_like(counts[:1]), counts)
    )
    return estimate(float(value), drawn)


def mean_within(correlation: Correlation, counts: Floats) -> Floats:
    """Return the mean over the references of each resample [B]; NaN where none counts."""
    each = correlation.within()
    defined = ~np.isnan(each)
    counted = counts[:, defined]
    with np.errstate(invalid="ignore"):
        means: Floats = (counted @ each[defined]) / counted.sum(axis=1)
    return means


def estimate(value: float, drawn: Floats) -> Estimate:
    """Return a value with its interval over resamples [B]; NaN counts as undefined."""
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return Estimate(None, None, None)
    low, high = np.quantile(drawn, INTERVAL).tolist()
    return Estimate(value, low, high)


def _correlations(
    people: Floats, distances: Floats, predicted: Floats, groups: Groups
) -> tuple[Correlation, Correlation, Correlation]:
    return (
        Spearman(people, distances, groups),
        Kendall(people, distances, groups),
        Pearson(people, predicted, groups),
    )
