"""Many results as one table for people, or as records for machines.

In one context a row says the distance and its parts; in several there is a column for
each, which says the distance and the largest part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.ranking import OTHER
from dps_infer.show.columns import aligned
from dps_infer.show.words import context_record, formula, numbers, spelt

Thresholds = Mapping[str, float | None]
"""By the contexts' labels, what their distances are held against, if anything."""


@dataclass(frozen=True)
class Spread:
    """The distances of many pairs in one context.

    Attributes:
        median: of all pairs that were compared; None if there are none.
        largest: likewise.
        above: how many are above the threshold; None without one.
    """

    median: float | None
    largest: float | None
    above: int | None


def table(
    titles: Sequence[str],
    rows: Sequence[tuple[Sequence[str], Mapping[str, Comparison]]],
    metrics: Mapping[str, Metric],
    *,
    thresholds: Thresholds | None = None,
) -> list[str]:
    """Return aligned lines: what identifies a row, then its distances; and the contexts below.

    Args:
        titles: of the columns that identify a row.
        rows: these columns, and comparisons by the contexts' labels.
        metrics: by label.
        thresholds: as `formula` heeds them, so that no rounding carries a distance across.
    """
    held = thresholds or {}
    if len(metrics) == 1:
        head = [*titles, "distance"]
        cells = [[formula(c, threshold=held.get(k)) for k, c in of.items()] for _, of in rows]
    else:
        head = [*titles, *(_mark(number) for number in range(len(metrics)))]
        cells = [[_short(c, held.get(k)) for k, c in of.items()] for _, of in rows]
    lines = aligned([head, *([*names, *of] for (names, _), of in zip(rows, cells, strict=True))])
    return [*lines, *legend(metrics)]


def legend(metrics: Mapping[str, Metric]) -> list[str]:
    """Say what each context is."""
    if len(metrics) == 1:
        return [f"context {c.name}: {c.describe()}" for c in metrics.values()]
    return [
        f"{_mark(number)} {metric.name}: {metric.describe()}"
        for number, metric in enumerate(metrics.values())
    ]


def verdicts(rows: Sequence[Mapping[str, Comparison]], thresholds: Thresholds) -> list[str]:
    """Say for each context with a threshold how many distances are above it."""
    return [
        _mark_if_several(number, thresholds)
        + _verdict(sum(of[label].distance > threshold for of in rows), len(rows), threshold)
        for number, (label, threshold) in enumerate(thresholds.items())
        if threshold is not None
    ]


def summary(spreads: Mapping[str, Spread], compared: int, thresholds: Thresholds) -> list[str]:
    """Say for each context how the distances of many pairs are spread, and how many are above."""
    lines = []
    for number, (label, spread) in enumerate(spreads.items()):
        if spread.median is None or spread.largest is None:
            continue
        threshold = thresholds.get(label)
        text = f"distance: median {spread.median:.3g}, largest {spread.largest:.3g}"
        if threshold is not None and spread.above is not None:
            text += f", {_verdict(spread.above, compared, threshold)}"
        lines.append(_mark_if_several(number, spreads) + text)
    return lines


def any_above(rows: Sequence[Mapping[str, Comparison]], thresholds: Thresholds) -> bool:
    """Return whether any distance is above the threshold of its context."""
    return any(is_above(of, thresholds) for of in rows)


def is_above(comparisons: Mapping[str, Comparison], thresholds: Thresholds) -> bool:
    """Return whether a pair is above the threshold of any context."""
    return any(
        threshold is not None and comparisons[label].distance > threshold
        for label, threshold in thresholds.items()
    )


def contexts_record(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return contexts by their labels, for JSON."""
    return {label: context_record(metric, label=label) for label, metric in metrics.items()}


def pair_record(
    comparisons: Mapping[str, Comparison], *, thresholds: Thresholds | None = None
) -> dict[str, Any]:
    """Return what was measured of one pair in all contexts, for JSON."""
    held = thresholds or {}
    first = next(iter(comparisons.values()))
    return {
        # What was done to the images, all contexts saw alike.
        "identical": first.identical,
        "notes": list(first.notes),
        "results": {
            label: numbers(comparison, threshold=held.get(label))
            for label, comparison in comparisons.items()
        },
    }


def _mark(number: int) -> str:
    return f"[{number + 1}]"


def _mark_if_several(number: int, metrics: Collection[str]) -> str:
    return f"{_mark(number)} " if len(metrics) > 1 else ""


def _verdict(above: int, count: int, threshold: float) -> str:
    return f"{above} of {count} above the threshold {spelt(threshold)}"


def _short(comparison: Comparison, threshold: float | None) -> str:
    """Say a distance and its largest part: ``0.81 (blur)``."""
    number = formula(comparison, threshold=threshold).split()[0]
    if comparison.distance == 0 or not set(comparison.parts) - {OTHER}:
        return number
    return f"{number} ({max(comparison.parts, key=comparison.parts.__getitem__)})"
