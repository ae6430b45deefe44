"""Results for people: tables on standard output."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from dps_train.distortions import DISTORTIONS
from dps_train.evaluate import Measures


def print_measures(measures: Measures) -> None:
    """Print the evaluation: 2AFC per pair, and the marks of a metric."""
    console = _console()
    if measures.score is not None:
        console.print(_score_table(measures))
    console.print(_metric_table(measures))


def print_distortions() -> None:
    """Print the six distortions with number, name, range and what strength means."""
    table = Table("number", "name", "parameter", "range", "strength", "amount 1 at", box=box.SIMPLE)
    for number, distortion in enumerate(DISTORTIONS):
        low, high = distortion.range
        table.add_row(
            str(number),
            distortion.name,
            distortion.parameter,
            f"{low:g} to {high:g}",
            distortion.unit,
            f"{distortion.reference:g}",
        )
    _console().print(table)


def _console() -> Console:
    """Return a console on standard output, wide enough for the tables where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def _score_table(measures: Measures) -> Table:
    several = measures.rankings > 1
    table = Table(
        "closer",
        "farther",
        "unadapted",
        "adapted",
        "noise ceiling",
        title=f"2AFC on {measures.images} held-out images"
        + (f", {measures.rankings} rankings" if several else ""),
        caption="share of image pairs that the metric orders as the context says",
        box=box.SIMPLE,
    )
    for pair, score in measures.pairs.items():
        less, _, more = pair.partition(">")
        table.add_row(
            less,
            more,
            f"{measures.baseline_pairs[pair]:.3f}",
            f"{score:.3f}",
            f"{measures.ceiling_pairs[pair]:.3f}",
        )
    table.add_section()
    rows = ("mean", "min", "max") if several else ("mean",)
    for row in rows:
        spreads = (measures.baseline, measures.score, measures.ceiling)
        table.add_row(
            f"all pairs{f', {row}' if several else ''}",
            "",
            *(f"[bold]{getattr(spread, row):.3f}[/bold]" for spread in spreads),
        )
    return table


def _metric_table(measures: Measures) -> Table:
    table = Table(
        "mark of a metric",
        "of",
        "value",
        "good",
        caption="monotonicity and retention: Spearman correlation of distance with strength",
        box=box.SIMPLE,
    )
    for name, value in measures.monotonicity.items():
        table.add_row("monotonicity", name, f"{value:.3f}", ">= 0.95")
    table.add_section()
    table.add_row(
        "composition", "two distortions in turn", f"{measures.composition:.3f}", ">= 0.95"
    )
    stability = "none" if measures.stability is None else f"{measures.stability:.4f}"
    table.add_row("stability", "half a grey level of noise", stability, "<= 0.01")
    table.add_section()
    for name, value in measures.retention.items():
        table.add_row("retention", f"{name} (never trained)", f"{value:.3f}", ">= 0.9")
    return table
