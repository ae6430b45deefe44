"""Agreement with people as tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from dps_train.agreement.adapting_cost import Cost
from dps_train.agreement.agreement import RESAMPLES, Agreement, Estimate
from dps_train.agreement.report import BappsFigures, SetFigures

FEW_REFERENCES = 10
"""Below this an interval over references is a rough guess."""

WIDTH = 120


def print_agreement(sets: Sequence[SetFigures], bapps: BappsFigures | None, target: str) -> None:
    """Print a table for each set, one of the kinds of change, and one of the costs.

    Args:
        sets: their figures.
        bapps: its figures; None if they were not requested.
        target: the metric, for titles.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for figures in sets:
        if figures.metrics:
            console.print(_set_table(figures, target))
            if any(one.kinds for one in figures.metrics.values()):
                console.print(_kind_table(figures))
    if bapps is not None:
        console.print(_bapps_table(bapps))
    if any(figures.costs for figures in sets) or (bapps is not None and bapps.costs):
        console.print(_cost_table(sets, bapps))


def _set_table(figures: SetFigures, target: str) -> Table:
    direction = "higher is better" if figures.higher_is_better else "lower is better"
    caption = (
        "positive where a metric agrees with people; pearson: after a four-parameter logistic\n"
        f"in brackets: 95 % interval over references, {RESAMPLES} bootstrap samples"
    )
    if figures.references < FEW_REFERENCES:
        caption += f"\n{figures.references} references are few: their intervals are rough guesses"
    table = Table(
        "metric",
        "spearman",
        "within references",
        "kendall",
        "within",
        "pearson",
        "within",
        title=f"{figures.source}: {figures.pairs} pairs of {figures.references} references, "
        f"{direction}\nmeasured: {target}",
        caption=caption,
        box=box.SIMPLE,
    )
    for label, one in figures.metrics.items():
        table.add_row(
            label,
            _with_interval(one.overall.spearman),
            _with_interval(one.within.spearman),
            *(
                _shown(getattr(part, name).value)
                for name in ("kendall", "pearson")
                for part in (one.overall, one.within)
            ),
        )
    return table


def _kind_table(figures: SetFigures) -> Table:
    """Kinds of change one below the other, metrics side by side."""
    table = Table(
        "kind",
        *figures.metrics,
        title=f"{figures.source}: spearman over the pairs of each kind of change",
        box=box.SIMPLE,
    )
    first: Agreement = next(iter(figures.metrics.values()))
    for kind in first.kinds:
        values = (one.kinds[kind].spearman.value for one in figures.metrics.values())
        table.add_row(kind, *map(_shown, values))
    return table


def _bapps_table(figures: BappsFigures) -> Table:
    table = Table("metric", "2AFC", "JND", title="BAPPS, means over the splits", box=box.SIMPLE)
    for label, one in figures.metrics.items():
        table.add_row(label, _shown(one.two_afc_mean), _shown(one.jnd_mean))
    return table


def _cost_table(sets: Sequence[SetFigures], bapps: BappsFigures | None) -> Table:
    table = Table(
        "set",
        "agreement",
        "head",
        "unadapted",
        "mean",
        "lowest",
        "highest",
        "difference",
        caption="difference: mean of the adapted metrics minus the unadapted one; below 0, "
        "adapting costs agreement\n"
        "in brackets: 95 % interval over references, of BAPPS over triplets",
        box=box.SIMPLE,
    )
    rows: list[tuple[str, str, str, Cost]] = []
    for figures in sets:
        for head, costs in figures.costs.items():
            rows.append((figures.source, "all pairs", head, costs.overall))
            rows.append((figures.source, "within references", head, costs.within))
    for head, judged in ({} if bapps is None else bapps.costs).items():
        parts = {"2AFC": judged.two_afc, "JND": judged.jnd}
        rows += [("BAPPS", name, head, part) for name, part in parts.items() if part is not None]
    last = ""
    for source, name, head, cost in rows:
        if last not in ("", source):
            table.add_section()
        last = source
        table.add_row(
            source,
            name,
            head,
            *map(_shown, (cost.unadapted, cost.mean, cost.lowest, cost.highest)),
            _with_interval(cost.difference, sign="+"),
        )
    table.title = f"adapted to {len(rows[0][-1].each)} random rankings, spearman"
    return table


def _with_interval(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return "none"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    low, high = (f"{value:{sign}.2f}" for value in (estimate.low, estimate.high))
    return f"{estimate.value:{sign}.3f} [{low}, {high}]"


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
