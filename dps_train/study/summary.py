"""Figures of the metrics of one network, comparison and variant: means over their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from rich import box
from rich.table import Table

from dps_train.evaluate.printing import wide_console
from dps_train.study.folder import Values
from dps_train.study.table import MARKS

GROUPED_BY = ("backbone", "comparison", "variant")

EXTRA = ("scores.", "ladders.")
"""Prefixes of the columns of `dps_train.study.extra_images`."""

MEANS = {
    "improved": "improved",
    "score": "score",
    "lowest": "score",
    "baseline": "baseline",
    "ceiling": "ceiling",
    "monotonicity": "monotonicity",
    "composition": "composition",
    "stability": "stability",
    "retention": "retention",
    "named": "named",
    "two_afc": "bapps.2afc",
    "baseline_two_afc": "bapps.baseline.2afc",
    "jnd": "bapps.jnd",
    "baseline_jnd": "bapps.baseline.jnd",
}
"""Columns of the table by figure; see `summarize`."""

Summary = dict[str, str | int | float | None]


def summarize(rows: Sequence[Values], by: Sequence[str] = GROUPED_BY) -> list[Summary]:
    """Return a summary for each network, comparison and variant, or by other columns.

    Returns:
        The columns of `by`, the number of ``metrics``, the number that ``failed`` to train, and
        the figures of `MEANS` over the others: the ``lowest`` score, and the mean of each other
        column; None if nothing was measured. Means of the columns with a prefix of `EXTRA` follow,
        if the table has any.
    """
    extra = dict.fromkeys(name for values in rows for name in values if name.startswith(EXTRA))
    groups: dict[tuple[str, ...], list[Values]] = {}
    for values in rows:
        groups.setdefault(tuple(str(values[name]) for name in by), []).append(values)
    summaries = []
    for names, some in groups.items():
        summary: Summary = dict(zip(by, names, strict=True))
        summary["metrics"] = len(some)
        summary["failed"] = sum(bool(values["error"]) for values in some)
        for figure, column in MEANS.items():
            found = numbers(some, column)
            summary[figure] = None
            if found:
                summary[figure] = min(found) if figure == "lowest" else fmean(found)
        for column in extra:
            found = numbers(some, column)
            summary[column] = fmean(found) if found else None
        summaries.append(summary)
    return summaries


def print_summaries(summaries: Sequence[Summary]) -> None:
    """Print one line for each network, comparison and variant on standard output."""
    table = Table(
        "network",
        "comparison",
        "variant",
        "metrics",
        "improved",
        "score",
        "lowest",
        "unadapted",
        "ceiling",
        title="2AFC in the context, means",
        caption="improved: share of metrics with a score above that of the unadapted one",
        box=box.SIMPLE,
    )
    for one in summaries:
        figures = (one[name] for name in ("improved", "score", "lowest", "baseline", "ceiling"))
        table.add_row(
            *(str(one[name]) for name in GROUPED_BY),
            f"{one['metrics']}" + f" ({one['failed']} failed)" * bool(one["failed"]),
            *("none" if figure is None else f"{figure:.4f}" for figure in figures),
        )
    console = wide_console()
    console.print(table)
    extra = [name for name in summaries[0] if name.startswith(EXTRA)] if summaries else []
    if extra:
        console.print(_extra_table(summaries, extra))


def _extra_table(summaries: Sequence[Summary], columns: Sequence[str]) -> Table:
    """Return scores and ladders with a row per measure: there may be many sets of scores."""
    table = Table(
        "measure",
        *("\n".join(str(one[name]) for name in reversed(GROUPED_BY)) for one in summaries),
        title="agreement with scores (Spearman) and ladders, means over the metrics",
        box=box.SIMPLE,
    )
    for name in columns:
        found = (one.get(name) for one in summaries)
        table.add_row(name, *("none" if value is None else f"{value:.4f}" for value in found))
    return table


def numbers(rows: Iterable[Values], column: str) -> list[float]:
    """Return the numbers in a column; for a measure of `MARKS`, in all columns of its kinds."""
    return [
        float(value)
        for values in rows
        for name, value in values.items()
        if isinstance(value, int | float) and column in (name, _mark_of(name))
    ]


def _mark_of(name: str) -> str | None:
    mark = name.partition(".")[0]
    return mark if mark in MARKS else None
