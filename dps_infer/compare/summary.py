"""Summarize many comparisons: the spread of distances, the worst pairs, and thresholds."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Generic, TypeVar

from dps_infer.compare.pairs import Comparison

Thresholds = Mapping[str, float | None]
"""The largest distance to accept, by the label of the metric; None or absent without a limit."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Spread:
    """The distances of many pairs in one context.

    Attributes:
        count: number of pairs.
        median: median distance; None if no pair was compared.
        largest: largest distance; None if no pair was compared.
        above: number of distances above their thresholds; None without a threshold.
        threshold: the threshold of all pairs; None if there is none, or if they differ.
    """

    count: int
    median: float | None
    largest: float | None
    above: int | None
    threshold: float | None


class Tally(Generic[Item]):
    """Counts comparisons one by one and keeps the worst; memory grows by 16 bytes per distance.

    Attributes:
        compared: number of pairs.
        identical: number of pairs in which no pixel differs.
        distances: by the label of the metric, of all pairs that were measured in it.
    """

    def __init__(self, labels: Iterable[str], *, worst: int | None) -> None:
        """Start at zero.

        Args:
            labels: of the metrics.
            worst: number of pairs to keep; None keeps all.
        """
        self.compared = 0
        self.identical = 0
        self.distances = {label: array("d") for label in labels}
        self._above = dict.fromkeys(self.distances, 0)
        self._thresholds: dict[str, set[float | None]] = {label: set() for label in self.distances}
        self._limit = worst
        # A heap whose first entry is the one to drop: the least bad pair, and of equally bad
        # ones the last.
        self._kept: list[tuple[_Badness, int, Item]] = []

    def add(
        self,
        item: Item,
        comparisons: Mapping[str, Comparison],
        *,
        thresholds: Thresholds | None = None,
    ) -> None:
        """Count a pair, and keep `item` for it if it is among the worst.

        Args:
            item: stands for the pair.
            comparisons: by label; the first one decides whether the pair is among the worst.
            thresholds: of this pair, by label.
        """
        limits = thresholds or {}
        self.compared += 1
        for label, comparison in comparisons.items():
            self.distances[label].append(comparison.distance)
            limit = limits.get(label)
            self._thresholds[label].add(limit)
            self._above[label] += limit is not None and comparison.gated > limit
        label, first = next(iter(comparisons.items()))
        self.identical += first.identical
        badness = _badness(first.gated, limits.get(label))
        heapq.heappush(self._kept, (badness, -self.compared, item))
        if self._limit is not None and len(self._kept) > self._limit:
            heapq.heappop(self._kept)

    def worst(self) -> tuple[Item, ...]:
        """Return the worst pairs, the worst first.

        Those with a threshold come first, by the ratio of the distance (or that of the worst
        region) to it; then the others, by distance. With one threshold for all, or none, that is
        the order of the distances.
        """
        return tuple(item for _, _, item in sorted(self._kept, reverse=True))

    def spreads(self) -> dict[str, Spread]:
        """Return the spread of the distances by the label of the metric."""
        found = {}
        for label, distances in self.distances.items():
            limits = self._thresholds[label]
            found[label] = Spread(
                count=len(distances),
                median=median(distances) if distances else None,
                largest=max(distances, default=None),
                above=self._above[label] if limits - {None} else None,
                threshold=next(iter(limits)) if len(limits) == 1 else None,
            )
        return found


_Badness = tuple[bool, float, float]


def _badness(gated: float, threshold: float | None) -> _Badness:
    """Return what orders pairs, larger for worse ones; see `Tally.worst`."""
    if threshold is None:
        return False, gated, gated
    if threshold == 0:
        return True, inf if gated > 0 else 0.0, gated
    return True, gated / threshold, gated


def any_above(results: Iterable[Mapping[str, Comparison]], thresholds: Thresholds) -> bool:
    """Return whether any pair is above the threshold of a metric, by `Comparison.gated`."""
    return any(
        (threshold := thresholds.get(label)) is not None and comparison.gated > threshold
        for comparisons in results
        for label, comparison in comparisons.items()
    )
