"""Summarize many comparisons: the spread of distances, the worst pairs, and thresholds."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
        median: median distance; None if no pair was compared.
        largest: largest distance; None if no pair was compared.
        above: number of distances above the threshold; None without a threshold.
    """

    median: float | None
    largest: float | None
    above: int | None


class Tally(Generic[Item]):
    """Counts comparisons one by one and keeps the worst; memory grows by 16 bytes per distance.

    Attributes:
        compared: number of pairs.
        identical: number of pairs in which no pixel differs.
        distances: of all pairs, by the label of the metric.
        gated: likewise, what thresholds apply to (`Comparison.gated`).
    """

    def __init__(self, labels: Iterable[str], *, worst: int | None) -> None:
        """Start at zero.

        Args:
            labels: of the metrics; the first one decides which pairs are the worst.
            worst: number of pairs to keep; None keeps all.
        """
        self.compared = 0
        self.identical = 0
        self.distances = {label: array("d") for label in labels}
        self.gated = {label: array("d") for label in self.distances}
        self._first = next(iter(self.distances), "")
        self._limit = worst
        # A heap whose first entry is the one to drop: the smallest distance, and of equal
        # distances the last pair.
        self._kept: list[tuple[float, int, Item]] = []

    def add(self, item: Item, comparisons: Mapping[str, Comparison]) -> None:
        """Count a pair, and keep `item` for it if it is among the worst."""
        self.compared += 1
        for label, comparison in comparisons.items():
            self.distances[label].append(comparison.distance)
            self.gated[label].append(comparison.gated)
        first = comparisons[self._first]
        self.identical += first.identical
        heapq.heappush(self._kept, (first.gated, -self.compared, item))
        if self._limit is not None and len(self._kept) > self._limit:
            heapq.heappop(self._kept)

    def worst(self) -> tuple[Item, ...]:
        """Return the pairs with the largest distances, or worst regions, the largest first."""
        return tuple(item for _, _, item in sorted(self._kept, reverse=True))

    def spreads(self, thresholds: Thresholds) -> dict[str, Spread]:
        """Return the spread of the distances by the label of the metric."""
        return {
            label: _spread(distances, self.gated[label], thresholds.get(label))
            for label, distances in self.distances.items()
        }


def any_above(results: Iterable[Mapping[str, Comparison]], thresholds: Thresholds) -> bool:
    """Return whether any pair is above the threshold of a metric, by `Comparison.gated`."""
    return any(
        (threshold := thresholds.get(label)) is not None and comparison.gated > threshold
        for comparisons in results
        for label, comparison in comparisons.items()
    )


def _spread(distances: array[float], gated: array[float], threshold: float | None) -> Spread:
    return Spread(
        median=median(distances) if distances else None,
        largest=max(distances, default=None),
        above=None if threshold is None else sum(d > threshold for d in gated),
    )
