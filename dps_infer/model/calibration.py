"""Turn a distance into percentiles, by the calibration in a context file.

A plain file holds quantiles of the distance. They depend on the context, so a universal file
holds the amounts that the metric reported for known draws; quantiles and 2AFC scores of any
context follow from them by arithmetic.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import ranked_pairs
from dps_infer.model.manifest import Calibration, Draws, Scores

LEVELS = [step / 100 for step in range(101)]

FloatArray = NDArray[np.float64]


def percentiles(distance: float, calibration: Calibration) -> dict[str, float]:
    """Compare a distance with those of known distortions.

    Returns:
        Per calibrated distortion, the share in [0, 1] of its draws whose distance is
        smaller, interpolated linearly between the known quantiles.
    """
    return {
        name: _share_below(distance, quantiles, calibration.levels)
        for name, quantiles in calibration.distances.items()
    }


def calibrate(
    draws: Draws, columns: Sequence[str], importances: Mapping[str, float]
) -> Calibration:
    """Compute the calibration of a context.

    Args:
        draws: the amounts that a universal metric reported for known draws.
        columns: names of the amounts.
        importances: the context.

    Returns:
        The quantiles of the draws' distances at `LEVELS`, interpolated linearly, per
        distortion.
    """
    distances = _distances(draws, columns, importances)
    table = _quantiles(distances.reshape(len(distances), -1)).tolist()
    quantiles = dict(zip(draws.amounts, table, strict=True))
    return Calibration(levels=list(LEVELS), distances=quantiles, images=draws.images)


def scores(draws: Draws, columns: Sequence[str], context: Context) -> Scores | None:
    """Compute how often a metric finds the less disruptive of two draws of an image closer.

    A 2AFC score is the mean over every pair of distortions that the context orders, and
    over every pair of their draws of the same image; equal distances count 0.5.

    Args:
        draws: the amounts that a universal metric reported for known draws.
        columns: names of the amounts.
        context: the context. Equal importances order nothing.

    Returns:
        The scores of the metric in this context, of the unadapted metric, and of the true
        amounts of the draws; None if the context orders no two distortions.
    """
    names = list(draws.amounts)
    importances = context.importances
    if context.ranking is None:
        pairs = [(a, b) for a in names for b in names if importances[a] < importances[b]]
    else:
        ranked = ranked_pairs(context.order)
        pairs = [(less, more) for less, more in ranked if less in names and more in names]
    if not pairs:
        return None
    indices = [(names.index(less), names.index(more)) for less, more in pairs]
    true = _by_image(draws, draws.true_amounts) * _vector(importances, names)[:, None, None]
    return Scores(
        baseline=_two_afc(_by_image(draws, draws.uniform), indices),
        adapted=_two_afc(_distances(draws, columns, importances), indices),
        ceiling=_two_afc(true, indices),
    )


def _distances(
    draws: Draws, columns: Sequence[str], importances: Mapping[str, float]
) -> FloatArray:
    """Return the distances of the draws in a context: [K, images, draws of each]."""
    amounts = np.asarray(list(draws.amounts.values()))
    distances: FloatArray = amounts @ _vector(importances, columns)
    return distances.reshape(len(amounts), draws.images, draws.per_image)


def _quantiles(values: FloatArray) -> FloatArray:
    """Return the quantiles at `LEVELS` of each row, as numpy.quantile gives them.

    That function loads numpy.ma on its first call, which takes longer than all else here.
    """
    ordered = np.sort(values, axis=1)
    places = np.array(LEVELS) * (ordered.shape[1] - 1)
    below = np.floor(places).astype(int)
    low, high = ordered[:, below], ordered[:, np.ceil(places).astype(int)]
    # Rounding must not carry a quantile above the value that it approaches.
    quantiles: FloatArray = np.minimum(low + (places - below) * (high - low), high)
    return quantiles


def _by_image(draws: Draws, values: Mapping[str, Sequence[float]]) -> FloatArray:
    """Return one number a draw as [K, images, draws of each]."""
    return np.asarray(list(values.values())).reshape(-1, draws.images, draws.per_image)


def _vector(importances: Mapping[str, float], names: Sequence[str]) -> FloatArray:
    return np.array([importances.get(name, 0.0) for name in names])


def _two_afc(distances: FloatArray, pairs: Sequence[tuple[int, int]]) -> float:
    """Return how often the first of each pair of distortions is closer than the second."""
    shares = []
    for less, more in pairs:
        near, far = distances[less, :, :, None], distances[more, :, None, :]
        shares.append(np.mean(far > near) + 0.5 * np.mean(far == near))
    return float(np.mean(shares))


def _share_below(distance: float, quantiles: Sequence[float], levels: Sequence[float]) -> float:
    # The leftmost place: of draws that share this very distance, none is smaller.
    place = bisect.bisect_left(quantiles, distance)
    if place == 0:
        return 0.0
    if place == len(quantiles):
        return 1.0
    low, high = quantiles[place - 1], quantiles[place]
    within = (distance - low) / (high - low)
    return levels[place - 1] + within * (levels[place] - levels[place - 1])
