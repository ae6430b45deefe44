"""The cost of adapting: agreement of metrics adapted to rankings, and of the unadapted one.

The paper's second claim (Pihlgren et al. 2024): adapting a metric to a ranking does not
significantly harm its agreement with people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from dps_train.agreement.agreement import Estimate, estimate, mean_within
from dps_train.agreement.correlations import Spearman
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.judgements.scoring import BappsScores

STANDARD_ERRORS = 1.96
"""An interval of 95 % reaches so many standard errors to both sides."""


@dataclass(frozen=True)
class Cost:
    """Agreement of metrics that are adapted to one ranking each.

    Attributes:
        unadapted: agreement of the metric before; None where that is not known.
        mean: over the adapted metrics.
        lowest: of them.
        highest: of them.
        difference: mean - unadapted, with its interval; below 0 where adapting cost agreement.
        each: agreement by ranking.
    """

    unadapted: float | None
    mean: float
    lowest: float
    highest: float
    difference: Estimate
    each: dict[str, float]


@dataclass(frozen=True)
class ScoresCost:
    """The cost of adapting one kind of head on a set of scored pairs, in Spearman correlation.

    Attributes:
        overall: over all pairs.
        within: mean within references.
    """

    overall: Cost
    within: Cost


@dataclass(frozen=True)
class BappsCost:
    """The cost of adapting one kind of head on BAPPS; None for a part that is not there.

    Attributes:
        two_afc: mean over the splits. Its interval is over triplets.
        jnd: mean over the splits; without an interval.
    """

    two_afc: Cost | None
    jnd: Cost | None


@dataclass(frozen=True)
class Judged:
    """One metric on BAPPS.

    Attributes:
        scores: by split.
        each: 2AFC score of each triplet, by split.
    """

    scores: BappsScores
    each: Mapping[str, Floats]


def scores_cost(
    pairs: ScoredPairs, unadapted: Floats | None, adapted: Mapping[str, Floats], counts: Floats
) -> ScoresCost:
    """Compare adapted metrics with the unadapted one on the same pairs.

    Args:
        pairs: N pairs with their scores.
        unadapted: distances [N], if there is such a metric.
        adapted: distances [N] by ranking.
        counts: resamples of the references [B, R]; the same for all metrics, so that the interval
            of the difference is that of a paired comparison.
    """
    people, groups = pairs.dissimilarity, pairs.groups
    before = None if unadapted is None else Spearman(people, unadapted, groups)
    after = {label: Spearman(people, values, groups) for label, values in adapted.items()}

    def cost(statistic: Callable[[Spearman, Floats], Floats]) -> Cost:
        return cost_of(
            None if before is None else _with_resamples(statistic, before, counts),
            {label: _with_resamples(statistic, one, counts) for label, one in after.items()},
        )

    return ScoresCost(cost(lambda one, some: one.overall(some)), cost(mean_within))


def bapps_cost(before: Judged, after: Mapping[str, Judged]) -> BappsCost:
    """Compare adapted metrics, by ranking, with the unadapted one on BAPPS."""
    errors = []
    for split, each in before.each.items():
        # All metrics see the same triplets, so that only differences vary.
        difference = np.mean([one.each[split] for one in after.values()], axis=0) - each
        errors.append(difference.var() / len(difference))
    error = math.sqrt(sum(errors)) / max(1, len(errors))

    def cost(score: Callable[[BappsScores], float | None], error: float | None) -> Cost | None:
        values = {label: score(one.scores) for label, one in after.items()}
        start = score(before.scores)
        found = {label: value for label, value in values.items() if value is not None}
        if start is None or not found:
            return None
        mean = fmean(found.values())
        value = mean - start
        low, high = (None, None) if error is None else (value - error, value + error)
        lowest, highest = min(found.values()), max(found.values())
        return Cost(start, mean, lowest, highest, Estimate(value, low, high), found)

    return BappsCost(
        cost(lambda scores: scores.two_afc_mean, STANDARD_ERRORS * error),
        cost(lambda scores: scores.jnd_mean, None),
    )


def cost_of(before: Floats | None, after: Mapping[str, Floats]) -> Cost:
    """Return the cost from the agreement of each metric [1 + B]: of the data, then of resamples."""
    values = {label: float(one[0]) for label, one in after.items()}
    mean = np.mean(list(after.values()), axis=0)
    difference = Estimate(None, None, None)
    if before is not None:
        difference = estimate(float(mean[0] - before[0]), (mean - before)[1:])
    return Cost(
        None if before is None else float(before[0]),
        float(mean[0]),
        min(values.values()),
        max(values.values()),
        difference,
        values,
    )


def _with_resamples(
    statistic: Callable[[Spearman, Floats], Floats], metric: Spearman, counts: Floats
) -> Floats:
    return np.concatenate([statistic(metric, np.ones_like(counts[:1])), statistic(metric, counts)])
