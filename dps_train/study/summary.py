"""What the metrics of one network, comparison and variant have in common, in figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich import box
from rich.console import Console
from rich.table import Table

from dps_train.study.folder import Values
from dps_train.study.table import MARKS

OTHERS = ("scores.", "ladders.")
"""How the columns of `dps_train.study.others` begin."""


@dataclass(frozen=True)
class Summary:
    """What the metrics of one variant, comparison and network have in common.

    Means over the metrics that could be trained; None where nothing was measured.

    Attributes:
        backbone: name of the network.
        comparison: how its features are compared.
        variant: what was trained.
        metrics: how many.
        failed: how many of them could not be trained.
        improved: share with a score above the baseline.
        score: mean 2AFC in the context.
        lowest: the lowest score.
        baseline: of the unadapted metric.
        ceiling: of the true amounts.
        monotonicity: mean over the distortions.
        composition: see `dps_train.measure.evaluation`.
        stability: likewise.
        retention: mean over the kinds of change.
        named: mean over the distortions.
        two_afc: agreement with people.
        baseline_two_afc: of the unadapted metric.
        jnd: likewise.
        baseline_jnd: likewise.
        others: means of the columns of `dps_train.study.others`, by column.
    """

    backbone: str
    comparison: str
    variant: str
    metrics: int
    failed: int
    improved: float | None
    score: float | None
    lowest: float | None
    baseline: float | None
    ceiling: float | None
    monotonicity: float | None
    composition: float | None
    stability: float | None
    retention: float | None
    named: float | None
    two_afc: float | None
    baseline_two_afc: float | None
    jnd: float | None
    baseline_jnd: float | None
    others: dict[str, float]


def summarise(rows: Sequence[Values]) -> list[Summary]:
    """Return what the rows of each network, comparison and variant have in common."""
    groups: dict[tuple[str, str, str], list[Values]] = {}
    for values in rows:
        group = (str(values["backbone"]), str(values["comparison"]), str(values["variant"]))
        groups.setdefault(group, []).append(values)
    return [_summary(*group, some) for group, some in groups.items()]


def print_summaries(summaries: Sequence[Summary]) -> None:
    """Print the figures on standard output, one line for each network, comparison and variant."""
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
        figures = (one.improved, one.score, one.lowest, one.baseline, one.ceiling)
        table.add_row(
            one.backbone,
            one.comparison,
            one.variant,
            f"{one.metrics}" + f" ({one.failed} failed)" * bool(one.failed),
            *("none" if figure is None else f"{figure:.4f}" for figure in figures),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(table)
    if any(one.others for one in summaries):
        console.print(_others_table(summaries))


def _others_table(summaries: Sequence[Summary]) -> Table:
    """Measures one below the other, variants side by side: there may be many sets of scores."""
    table = Table(
        "measure",
        *(f"{one.variant}\n{one.backbone}\n{one.comparison}" for one in summaries),
        title="agreement with scores (spearman) and ladders, means over the metrics",
        box=box.SIMPLE,
    )
    for name in dict.fromkeys(name for one in summaries for name in one.others):
        found = (one.others.get(name) for one in summaries)
        table.add_row(name, *("none" if value is None else f"{value:.4f}" for value in found))
    return table


def numbers(rows: Iterable[Values], column: str) -> list[float]:
    """Return what is measured in a column; `monotonicity` is all that begin with it and a dot."""
    return [
        float(value)
        for values in rows
        for name, value in values.items()
        if isinstance(value, int | float) and column in (name, _mark_of(name))
    ]


def _mark_of(name: str) -> str | None:
    mark = name.partition(".")[0]
    return mark if mark in MARKS else None


def _summary(backbone: str, comparison: str, variant: str, rows: Sequence[Values]) -> Summary:
    def mean(column: str) -> float | None:
        values = numbers(rows, column)
        return fmean(values) if values else None

    return Summary(
        backbone=backbone,
        comparison=comparison,
        variant=variant,
        metrics=len(rows),
        failed=sum(bool(values["error"]) for values in rows),
        improved=mean("improved"),
        score=mean("score"),
        lowest=min(numbers(rows, "score"), default=None),
        baseline=mean("baseline"),
        ceiling=mean("ceiling"),
        monotonicity=mean("monotonicity"),
        composition=mean("composition"),
        stability=mean("stability"),
        retention=mean("retention"),
        named=mean("named"),
        two_afc=mean("bapps.2afc"),
        baseline_two_afc=mean("bapps.baseline.2afc"),
        jnd=mean("bapps.jnd"),
        baseline_jnd=mean("bapps.baseline.jnd"),
        others={name: fmean(numbers(rows, name)) for name in _other_columns(rows)},
    )


def _other_columns(rows: Sequence[Values]) -> list[str]:
    names = dict.fromkeys(name for values in rows for name in values)
    return [name for name in names if name.startswith(OTHERS)]
