"""Estimate a threshold from pairs that are known to be acceptable.

A threshold for a false-alarm rate r is a distance that at most the share r of acceptable pairs
exceeds. The estimate assumes nothing about how distances are distributed. It is one of the
measured distances (a one-sided tolerance bound; Wilks 1941): the k-th largest of n, where k is
the largest number with

    P(X < k) <= 1 - confidence,  X ~ binomial(n, r).

So if the n pairs are drawn independently, from the same source as later ones, the rate is kept
with at least the stated confidence. Few pairs cannot support a low rate: with fewer than
log(1 - confidence) / log(1 - r) even the largest distance is too small, and the estimate is
refused. A rate of 1 % with a confidence of 80 % takes 161 pairs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dps_infer.bulk.pairs import read_pairs, scan_pairs
from dps_infer.bulk.thresholds import Threshold, threshold_context
from dps_infer.compare.metric import Metric
from dps_infer.compare.stream import PairSource, score
from dps_infer.errors import DpsError, ThresholdError, UsageError
from dps_infer.progress import Progress, ignore

FALSE_ALARMS = 0.01
CONFIDENCE = 0.8

MARGIN = 1e-4
"""The share that is added to the estimated distance: another processor or batch size rounds
differently, and the very pair that the threshold is based on must not raise an alarm."""


class Bound(NamedTuple):
    """A distance that few acceptable pairs exceed, and its rank; 1 is the largest."""

    distance: float
    place: int


def upper_bound(distances: Sequence[float], *, false_alarms: float, confidence: float) -> Bound:
    """Return the smallest of some distances that keeps a false-alarm rate.

    Args:
        distances: of acceptable pairs.
        false_alarms: the rate, between 0 and 1.
        confidence: the confidence that the rate is kept, between 0 and 1.

    Raises:
        ThresholdError: there are too few distances for the rate.
        UsageError: a rate or confidence that is not between 0 and 1.

    >>> upper_bound(range(300), false_alarms=0.01, confidence=0.8)
    Bound(distance=298, place=2)
    >>> upper_bound(range(1000), false_alarms=0.01, confidence=0.8).place
    7
    """
    for name, value in (("false-alarm rate", false_alarms), ("confidence", confidence)):
        if not 0 < value < 1:
            raise UsageError(f"expected a {name} between 0 and 1 (0.01 is 1 %), got {value}")
    place = _place(len(distances), false_alarms, confidence)
    if place == 0:
        needed = math.ceil(math.log1p(-confidence) / math.log1p(-false_alarms))
        advice = f"give {needed} or more"
        if distances:
            supported = -math.expm1(math.log1p(-confidence) / len(distances))
            # Rounded up, so that the advice works.
            advice += f", or accept --false-alarms {math.ceil(supported * 1e4) / 1e4:g}"
        raise ThresholdError(
            f"{len(distances)} acceptable pairs are too few for a false-alarm rate of "
            f"{false_alarms:g} with a confidence of {confidence:g}: {advice}"
        )
    return Bound(sorted(distances, reverse=True)[place - 1], place)


def make_threshold(
    distances: Sequence[float],
    metric: Metric,
    *,
    references: int,
    false_alarms: float = FALSE_ALARMS,
    confidence: float = CONFIDENCE,
) -> Threshold:
    """Estimate a threshold from distances of acceptable pairs.

    Args:
        distances: the distances.
        metric: the metric that measured them.
        references: number of different references among the pairs.
        false_alarms: the share of acceptable pairs that may be above the threshold.
        confidence: the confidence that this share is not exceeded.

    Raises:
        ThresholdError: see `upper_bound`.
        UsageError: see `upper_bound`.
    """
    bound = upper_bound(distances, false_alarms=false_alarms, confidence=confidence)
    ordered = sorted(distances)
    return Threshold(
        threshold=bound.distance * (1 + MARGIN),
        false_alarms=false_alarms,
        confidence=confidence,
        pairs=len(distances),
        references=references,
        place=bound.place,
        largest=ordered[-1],
        median=ordered[len(ordered) // 2],
        estimator=(
            f"one-sided tolerance bound without assumptions: distance {bound.place} of "
            f"{len(distances)} from the largest, raised by {MARGIN:.2%} for rounding"
        ),
        context=threshold_context(metric),
    )


def calibrate_file(
    path: str | os.PathLike[str],
    metric: Metric,
    *,
    resize: bool = False,
    false_alarms: float = FALSE_ALARMS,
    confidence: float = CONFIDENCE,
    progress: Progress = ignore,
) -> Threshold:
    """Measure a file of acceptable pairs and estimate a threshold from them.

    Args:
        path: a file of pairs (`dps_infer.bulk.pairs`).
        metric: the metric.
        resize: resize candidates to the size of their references.
        false_alarms: see `make_threshold`.
        confidence: see `make_threshold`.
        progress: called with the number of pairs measured and their total.

    Raises:
        ThresholdError: a pair cannot be measured, which would bias the threshold; or see
            `upper_bound`.
        UsageError: see `make_threshold`; the suffix of the file is not one of a table.
        TableError: the file cannot be read.
    """
    path = Path(path)
    total = scan_pairs(path).rows
    references: set[str] = set()

    def sources() -> Iterator[PairSource]:
        for row in read_pairs(path):
            if not isinstance(row.source, DpsError):
                references.add(str(row.source[0]))
            yield row.source

    distances: list[float] = []
    faults: list[str] = []
    for scored in score(sources(), {"": metric}, resize=resize):
        if scored.error:
            faults.append(scored.error)
        else:
            distances.append(scored.comparisons[""].distance)
        progress(scored.index + 1, total)
    if faults:
        raise ThresholdError(
            f"{path}: {len(faults)} of {total} pairs cannot be measured, the first: {faults[0]}"
        )
    return make_threshold(
        distances,
        metric,
        references=len(references),
        false_alarms=false_alarms,
        confidence=confidence,
    )


def _place(count: int, rate: float, confidence: float) -> int:
    """Return the largest k with P(X < k) <= 1 - confidence, X ~ binomial(count, rate)."""
    below = 0.0
    for place in range(count):
        # In logarithms: with many pairs, the first terms underflow.
        choices = math.lgamma(count + 1) - math.lgamma(place + 1) - math.lgamma(count - place + 1)
        below += math.exp(choices + place * math.log(rate) + (count - place) * math.log1p(-rate))
        if below > 1 - confidence:
            return place
    return count
