"""Correlation of distances with people, over all pairs and within references, under resampling.

Every statistic is computed for many resamples of the references at once: a resample is a row of
counts, how often each reference was drawn. Counts of 1 give the statistic of the data themselves.
All are positive where a larger distance goes with a larger dissimilarity to people.

Sources: rank correlation with average ranks (Spearman) and tau-b (Kendall), as in scipy.stats;
Pearson correlation after a four-parameter logistic curve, as in the VQEG's reports and
Sheikh et al., *A Statistical Evaluation of Recent Full Reference Image Quality Assessment
Algorithms*, 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit

from dps_train.agreement.scores.scored_pairs import Floats

FEWEST_WITHIN = 3
"""Pairs of a reference for a correlation within it: two can only agree or not."""

NUMBERS_AT_ONCE = 1 << 21
"""Numbers that resampling holds in one array: it bounds the memory."""

CURVE_EVALUATIONS = 200
MIDDLES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles of the distances at which the search for a curve's middle begins."""

WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Widths at which it begins, in ranges between the quartiles."""

SMALLEST_REACH = 1e-9

ROUNDING = 1e-12
"""Share of the largest sum of squares that counts as 0: sums that cancel leave a little."""

Groups = NDArray[np.intp]


class Correlation(Protocol):
    """A correlation of distances with people."""

    def overall(self, counts: Floats) -> Floats:
        """Return the correlation over all pairs for each resample: [B] for counts [B, R].

        NaN where people's values do not differ, 0 where only the distances do not.
        """
        ...

    def within(self) -> Floats:
        """Return the correlation within each reference: [R].

        NaN where there are fewer than `FEWEST_WITHIN` pairs, or people's values do not differ.
        """
        ...


class Spearman:
    """Rank correlation.

    Args:
        people: dissimilarity to people [N].
        distances: of a metric [N].
        groups: number of each pair's reference [N]; all from 0 to R - 1 are there.
    """

    def __init__(self, people: Floats, distances: Floats, groups: Groups) -> None:
        self._values = people, distances
        self._groups = groups

    def overall(self, counts: Floats) -> Floats:
        """See `Correlation`."""
        rows = max(1, NUMBERS_AT_ONCE // len(self._groups))
        found = [np.empty(0)]
        for start in range(0, len(counts), rows):
            weights = counts[start : start + rows, self._groups]
            people, distances = (weighted_ranks(values, weights) for values in self._values)
            found.append(_weighted_pearson(people, distances, weights))
        return np.concatenate(found)

    def within(self) -> Floats:
        """See `Correlation`."""
        return _within(self._groups, lambda rows: self._of(rows))

    def _of(self, rows: Groups) -> float:
        weights = np.ones((1, len(rows)))
        people, distances = (weighted_ranks(values[rows], weights) for values in self._values)
        return float(_weighted_pearson(people, distances, weights)[0])


class Pearson:
    """Linear correlation of people with a curve of the distances; see `fitted_curve`.

    Args:
        people: dissimilarity to people [N].
        predicted: the curve's values at the distances [N].
        groups: as in `Spearman`.
    """

    def __init__(self, people: Floats, predicted: Floats, groups: Groups) -> None:
        # Centered, so that the moments keep their digits.
        x, y = people - people.mean(), predicted - predicted.mean()
        columns = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
        self._moments = np.zeros((groups.max() + 1, columns.shape[1]))
        np.add.at(self._moments, groups, columns)

    def overall(self, counts: Floats) -> Floats:
        """See `Correlation`."""
        return _of_moments(counts @ self._moments)

    def within(self) -> Floats:
        """See `Correlation`."""
        few = self._moments[:, 0] < FEWEST_WITHIN
        return np.where(few, np.nan, _of_moments(self._moments))


class Kendall:
    """Tau-b.

    The sums over pairs of pairs are kept for each two references, so that a resample is a
    quadratic form. A pair that is drawn twice ties with itself, as in the drawn sample.

    Args:
        people: dissimilarity to people [N].
        distances: of a metric [N].
        groups: as in `Spearman`.
    """

    def __init__(self, people: Floats, distances: Floats, groups: Groups) -> None:
        order = np.argsort(groups, kind="stable")
        people, distances = people[order], distances[order]
        starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
        self._sizes = np.diff(np.append(starts, len(groups)))
        sums = []
        for start, size in zip(starts, self._sizes, strict=True):
            rows = slice(start, start + size)
            x, y = (_order(values[rows], values) for values in (people, distances))
            both = [(x * y), np.abs(x), np.abs(y)]
            sums.append(
                [np.add.reduceat(one.sum(axis=0, dtype=np.float64), starts) for one in both]
            )
        self._sums: Floats = np.array(sums).transpose(1, 0, 2)

    def overall(self, counts: Floats) -> Floats:
        """See `Correlation`."""
        agreeing, x, y = (((counts @ one) * counts).sum(axis=1) for one in self._sums)
        return _ratio(agreeing, x, y)

    def within(self) -> Floats:
        """See `Correlation`."""
        agreeing, x, y = (np.diagonal(one) for one in self._sums)
        return np.where(self._sizes < FEWEST_WITHIN, np.nan, _ratio(agreeing, x, y))


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Return the average ranks in samples that hold each value several times: [B, N].

    Args:
        values: [N].
        weights: how often each sample holds each value [B, N], integers >= 0.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.append(True, ordered[1:] != ordered[:-1])
    total = np.add.reduceat(weights[:, order], np.flatnonzero(new), axis=1)
    rank = np.cumsum(total, axis=1) - (total - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = rank[:, np.cumsum(new) - 1]
    return ranks


def fitted_curve(people: Floats, distances: Floats) -> Floats:
    """Return the values [N] of a four-parameter logistic curve fitted to people's values [N].

    curve = low + (high - low) / (1 + exp(-(distance - middle) / width)), by least squares. For a
    middle and a width, low and high are a linear problem, which leaves two numbers to look for.
    Distances of a few pairs may be far above all others, and there are local optima: the search
    begins at the best point of a grid. Where the best curve falls as the distance grows, its values
    are negated: a correlation with them is then negative, as the metric contradicts people.
    Distances that do not differ give zeros.
    """
    spread = float(distances.std())
    if spread == 0:
        return np.zeros(len(distances))
    x = (distances - distances.mean()) / spread
    centered = people - people.mean()

    def curve(parameters: Floats) -> Floats:
        """Return the best curve with this middle and logarithm of the width, less its mean."""
        middle, width = parameters
        shape = expit((x - middle) / np.exp(width))
        shape = shape - shape.mean()
        square = float(shape @ shape)
        values: Floats = shape * (float(shape @ centered) / square if square else 0.0)
        return values

    middles = np.quantile(x, MIDDLES)
    quartiles = np.quantile(x, (0.25, 0.75))
    reach = max(float(quartiles[1] - quartiles[0]), SMALLEST_REACH)
    starts = [np.array([middle, np.log(reach * w)]) for middle in middles for w in WIDTHS]
    best = min(starts, key=lambda start: float(np.square(curve(start) - centered).sum()))
    fit = least_squares(lambda p: curve(p) - centered, best, max_nfev=CURVE_EVALUATIONS)
    values = curve(fit.x)
    # A logistic shape rises: its slope has the sign of its covariance with the distance.
    return values * (1.0 if float(values @ x) >= 0 else -1.0)


def _order(some: Floats, values: Floats) -> NDArray[np.int8]:
    """Return the sign of the difference of each of `some` and each value [n, N]."""
    greater = some[:, None] > values[None]
    less = some[:, None] < values[None]
    return greater.astype(np.int8) - less.astype(np.int8)


def _within(groups: Groups, correlation: Callable[[Groups], float]) -> Floats:
    rows = [np.flatnonzero(groups == number) for number in range(groups.max() + 1)]
    return np.array([correlation(some) if len(some) >= FEWEST_WITHIN else np.nan for some in rows])


def _weighted_pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return the correlation of each row of x and y [B, N] with its weights [B, N]: [B]."""
    # A resample without any of these pairs has no mean: its correlation is NaN.
    with np.errstate(invalid="ignore"):
        total = weights.sum(axis=1, keepdims=True)
        x, y = (one - (weights * one).sum(axis=1, keepdims=True) / total for one in (x, y))
    return _ratio(*((weights * one).sum(axis=1) for one in (x * y, x * x, y * y)))


def _of_moments(moments: Floats) -> Floats:
    """Return correlations [B] of the sums [B, 6] of 1, x, y, xx, yy and xy."""
    count, x, y, xx, yy, xy = moments.T
    with np.errstate(invalid="ignore"):
        sums = xy - x * y / count, xx - x * x / count, yy - y * y / count
    return _ratio(*sums)


def _ratio(both: Floats, people: Floats, metric: Floats) -> Floats:
    """Return both / sqrt(people * metric): NaN without any of people's, 0 without the metric's."""
    nothing = ~(people > ROUNDING * np.nanmax(people, initial=0))
    flat = metric <= ROUNDING * np.nanmax(metric, initial=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(both / np.sqrt(people * metric), -1, 1)
    return np.where(nothing, np.nan, np.where(flat, 0.0, ratio))
