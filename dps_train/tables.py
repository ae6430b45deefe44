"""Results for people: tables on standard output."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from dps_train.distortions import DISTORTIONS
from dps_train.evaluate import Measures

CORRELATION = (
    "named: share of draws whose own amount is the largest\n"
    "monotonicity and retention: Spearman correlation of distance with strength"
)


def print_measures(measures: Measures) -> None:
    """Print the evaluation: 2AFC per pair, and the marks of a metric."""
    console = _console()
    if measures.score is not None:
        console.print(_score_table(measures))
    console.print(_metric_table(measures))


def print_heads(measured: Mapping[str, Measures]) -> None:
    """Print the measures of several heads side by side, one column a head."""
    first, *_ = measured.values()
    table = Table(
        "measure",
        "of",
        *measured,
        "good",
        title=f"{first.images} held-out images, rankings: {first.rankings}",
        caption="score: 2AFC; unadapted: that of the same features without a context\n"
        + CORRELATION,
        box=box.SIMPLE,
    )
    rows = [[*_score_rows(measures), *_mark_rows(measures)] for measures in measured.values()]
    last = ""
    for columns in zip(*rows, strict=True):
        measure, of, _, good = columns[0]
        if measure != last:
            table.add_section()
        last = measure
        table.add_row(measure, of, *(_shown(value) for _, _, value, _ in columns), good)
    _console().print(table)


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


Row = tuple[str, str, float | None, str]
"""What is measured, of what, the value, and which values are good."""


def _score_rows(measures: Measures) -> list[Row]:
    spreads = (
        ("score", measures.score),
        ("ceiling", measures.ceiling),
        ("unadapted", measures.baseline),
    )
    rows: list[Row] = [
        (name, which, getattr(spread, which, None), "the ceiling" if name == "score" else "")
        for name, spread in spreads
        for which in ("mean", "min", "max")
    ]
    return [*rows, ("improved", "rankings", measures.improved, "1")]


def _mark_rows(measures: Measures) -> list[Row]:
    named = measures.named or dict.fromkeys(measures.monotonicity)
    return [
        *(("named", name, value, ">= 0.95") for name, value in named.items()),
        *(
            ("monotonicity", name, value, ">= 0.95")
            for name, value in measures.monotonicity.items()
        ),
        ("composition", "two distortions in turn", measures.composition, ">= 0.95"),
        ("stability", "half a grey level of noise", measures.stability, "<= 0.01"),
        *(
            ("retention", f"{name} (never trained)", value, ">= 0.9")
            for name, value in measures.retention.items()
        ),
    ]


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


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
        caption=CORRELATION,
        box=box.SIMPLE,
    )
    last = ""
    for measure, of, value, good in _mark_rows(measures):
        if measure != last:
            table.add_section()
        last = measure
        table.add_row(measure, of, _shown(value), good)
    return table
