"""Comparisons of many pairs as lines of text for people.

In one context, a row shows the distance and its parts. In several, each context has a column
with the distance and its largest part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.summary import Spread, Thresholds
from dps_infer.contexts.ranking import OTHER
from dps_infer.show.columns import align_columns
from dps_infer.show.phrases import kind_words
from dps_infer.show.words import format_number, formula


def result_lines(
    titles: Sequence[str],
    rows: Sequence[tuple[Sequence[str], Mapping[str, Comparison]]],
    metrics: Mapping[str, Metric],
    *,
    thresholds: Thresholds | None = None,
) -> list[str]:
    """Return a line per row, aligned below a heading, and the contexts below them.

    Without rows there is no heading.

    Args:
        titles: of the columns that identify a row.
        rows: the cells of these columns, and comparisons by the label of the metric.
        metrics: by label.
        thresholds: by label; see `formula`.
    """
    if not rows:
        return context_lines(metrics)
    limits = thresholds or {}
    if len(metrics) == 1:
        head, cell = [*titles, "distance"], formula
    else:
        head, cell = [*titles, *(_mark(number) for number in range(len(metrics)))], _short_formula
    cells = [
        [*names, *(cell(c, threshold=limits.get(label)) for label, c in comparisons.items())]
        for names, comparisons in rows
    ]
    return [*align_columns([head, *cells]), *context_lines(metrics)]


def ruled_lines(
    titles: Sequence[str],
    rows: Sequence[tuple[Sequence[str], Mapping[str, Comparison], Thresholds]],
    metrics: Mapping[str, Metric],
) -> list[str]:
    """Return a line per row and context, where contexts or thresholds differ between rows.

    Each has its threshold and, if there are several contexts, the mark of its own.

    Args:
        titles: of the columns that identify a row.
        rows: the cells of these columns, comparisons by the label of the metric, and thresholds
            likewise.
        metrics: by label.
    """
    marks = {label: _mark(number) for number, label in enumerate(metrics)}
    several = ["context"] if len(metrics) > 1 else []
    cells = [[*titles, "distance", "threshold", *several]]
    for names, comparisons, limits in rows:
        for label, comparison in comparisons.items():
            limit = limits.get(label)
            cell = formula(comparison, threshold=limit)
            shown = "none" if limit is None else format_number(limit)
            if limit is not None and comparison.gated > limit:
                shown += " (above)" if comparison.distance > limit else " (a region is above)"
            cells.append([*names, cell, shown, *([marks[label]] if several else [])])
    lines = align_columns(cells) if rows else []
    return [*lines, *context_lines(metrics)]


def context_lines(metrics: Mapping[str, Metric]) -> list[str]:
    """Return a line that describes each context."""
    if len(metrics) == 1:
        return [f"context {metric.name}: {metric.describe()}" for metric in metrics.values()]
    return [
        f"{_mark(number)} {metric.name}: {metric.describe()}"
        for number, metric in enumerate(metrics.values())
    ]


def threshold_lines(
    results: Sequence[Mapping[str, Comparison]], thresholds: Thresholds
) -> list[str]:
    """Return a line per threshold with the number of distances above it."""
    return [
        _mark_if_several(number, thresholds)
        + _above(sum(c[label].gated > threshold for c in results), len(results), threshold)
        for number, (label, threshold) in enumerate(thresholds.items())
        if threshold is not None
    ]


def spread_lines(spreads: Mapping[str, Spread]) -> list[str]:
    """Return a line per context with the spread of its distances and how many are above."""
    lines = []
    for number, spread in enumerate(spreads.values()):
        if spread.median is None or spread.largest is None:
            continue
        text = f"distance: median {spread.median:.3g}, largest {spread.largest:.3g}"
        if spread.above is not None:
            text += f", {_above(spread.above, spread.count, spread.threshold)}"
        lines.append(_mark_if_several(number, spreads) + text)
    return lines


def _mark(number: int) -> str:
    return f"[{number + 1}]"


def _mark_if_several(number: int, labels: Collection[str]) -> str:
    return f"{_mark(number)} " if len(labels) > 1 else ""


def _above(above: int, count: int, threshold: float | None) -> str:
    limit = "their thresholds" if threshold is None else f"the threshold {format_number(threshold)}"
    return f"{above} of {count} above {limit}"


def _short_formula(comparison: Comparison, *, threshold: float | None = None) -> str:
    """Format a distance and its largest part: ``0.81 (sharper)``."""
    number = formula(comparison, threshold=threshold).split()[0]
    if comparison.distance == 0 or not set(comparison.parts) - {OTHER}:
        return number
    largest = max(comparison.parts, key=comparison.parts.__getitem__)
    return f"{number} ({kind_words(largest, comparison, strength=False)})"
