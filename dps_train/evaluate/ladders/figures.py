"""The figures of ladders, as functions of distances: order, evenness, naming and the others.

Distances are [..., P, S]: of P photographs at the S steps of a ladder, the faintest step first.
"""

from __future__ import annotations

import numpy as np
import torch

from dps_train.evaluate.pair_target import Doubles
from dps_train.measure.statistics import spearman

LARGEST_RATIO = 1e9
"""The largest ratio; the ratio of a distance to 0 would be infinite."""

LOW, HIGH = 10, 90
"""Percentiles over photographs that evenness compares."""


def order(distances: Doubles) -> Doubles:
    """Return the rank correlation of distance with the step [..., P] (Spearman), in [-1, 1].

    It is 0 where all steps are equally far.

    >>> order(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]])).tolist()
    [1.0, -1.0, 0.0]
    """
    return spearman(torch.from_numpy(distances), -1).numpy()


def evenness(distances: Doubles) -> Doubles:
    """Return p90 / p10 over the photographs at each step [..., S], at least 1.

    >>> evenness(np.array([[1.0], [2.0], [3.0]])).round(3).tolist()
    [2.333]
    """
    low, high = np.percentile(distances, [LOW, HIGH], axis=-2)
    return ratio(high, low)


def ratio(distances: Doubles, others: Doubles) -> Doubles:
    """Return how many times as far, at most `LARGEST_RATIO`; 1 where both are 0.

    >>> ratio(np.array([6.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0])).tolist()
    [3.0, 1000000000.0, 1.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where((distances == 0) & (others == 0), 1.0, distances / others)
    return np.minimum(times, LARGEST_RATIO)


def named(parts: Doubles, column: int) -> Doubles:
    """Return the share [...] of P photographs whose largest part [..., P, K] is one column.

    >>> float(named(np.array([[0.2, 0.1], [0.1, 0.2], [0.0, 0.0], [0.2, 0.0]]), 0))
    0.5
    """
    largest = (parts.argmax(axis=-1) == column) & (parts[..., column] > 0)
    return np.asarray(largest.mean(axis=-1))


def right_direction(directions: Doubles, sign: int) -> float:
    """Return the share of directions [P] with the right sign."""
    return float((np.sign(directions) == sign).mean())


def strength_error(strengths: Doubles, truth: float) -> float:
    """Return the median relative error of estimated strengths [P], in either direction."""
    return float(np.median(np.abs(np.abs(strengths) - truth)) / truth)
