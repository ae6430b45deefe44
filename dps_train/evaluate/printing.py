"""Print results as tables on standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from dps_infer.model.manifest import MetricInfo
from dps_train.distortions.distortion import Distortion
from dps_train.fit.training import Agreement, ScoresAgreement
from dps_train.judgements.agreement import JudgementScores
from dps_train.measure.evaluation import Measures

CORRELATION = (
    "named: share of draws whose own amount is the largest\n"
    "monotonicity and retention: Spearman correlation of distance with strength"
)

Row = tuple[str, str, float | None, str]
"""A measure, its subject, its value, and its good values."""


def print_measures(measures: Measures) -> None:
    """Print the evaluation: 2AFC per pair, and the marks of a metric."""
    console = wide_console()
    if measures.score is not None:
        console.print(_score_table(measures))
    table = Table("mark of a metric", "of", "value", "good", caption=CORRELATION, box=box.SIMPLE)
    _add_rows(table, [_mark_rows(measures)])
    console.print(table)


def print_heads(measured: Mapping[str, Measures]) -> None:
    """Print the measures of several heads side by side, one column per head."""
    first, *_ = measured.values()
    table = Table(
        "measure",
        "of",
        *measured,
        "good",
        title=f"{first.images} held-out images, rankings: {first.rankings}",
        caption="score: 2AFC; unadapted: 2AFC of the same features without a context\n"
        + CORRELATION,
        box=box.SIMPLE,
    )
    _add_rows(table, [[*_score_rows(one), *_mark_rows(one)] for one in measured.values()])
    wide_console().print(table)


def _add_rows(table: Table, columns: Sequence[Sequence[Row]]) -> None:
    """Add rows of the same measures side by side, without those that have no values."""
    last = ""
    for row in zip(*columns, strict=True):
        if all(value is None for _, _, value, _ in row):
            continue
        measure, of, _, good = row[0]
        if measure != last:
            table.add_section()
        last = measure
        table.add_row(measure, of, *(_shown(value) for _, _, value, _ in row), good)


def print_people(people: JudgementScores) -> None:
    """Print the agreement of a metric with people's judgements."""
    table = Table(
        "people's judgements",
        "of",
        "score",
        "at most",
        caption="2AFC: share of judges who find the same candidate closer\n"
        "JND: mAP of telling pairs apart that people found the same",
        box=box.SIMPLE,
    )
    if people.bapps is not None:
        kinds = (
            ("2AFC", people.bapps.two_afc, people.bapps.two_afc_mean),
            ("JND", people.bapps.jnd, people.bapps.jnd_mean),
        )
        for kind, splits, mean in kinds:
            if mean is not None:
                for split, score in {**splits, "mean": mean}.items():
                    table.add_row(f"BAPPS, {kind}", split, _shown(score), "")
                table.add_section()
    if people.triplets is not None:
        of = f"{people.triplets.triplets} triplets"
        values = (people.triplets.agreement, people.triplets.ceiling)
        table.add_row("2AFC", of, *map(_shown, values))
    wide_console().print(table)


def print_agreement(agreement: Agreement, info: MetricInfo) -> None:
    """Print the agreement of a metric with people, and its importances."""
    table = Table(
        "agreement with people",
        "before",
        "after",
        "at most",
        title=f"{agreement.triplets} {'' if agreement.cross_validated else 'held-out '}triplets",
        caption="share of judges who find the same candidate closer"
        + ("; after: cross-validated" if agreement.cross_validated else ""),
        box=box.SIMPLE,
    )
    values = (agreement.before, agreement.after, agreement.ceiling)
    table.add_row("2AFC", *(f"{value:.4f}" for value in values))
    if isinstance(agreement, ScoresAgreement):
        for name, before, after in (
            ("spearman, all pairs", agreement.overall_before, agreement.overall_after),
            ("spearman, within references", agreement.within_before, agreement.within_after),
        ):
            table.add_row(name, _shown(before), _shown(after), "1")
        table.title = f"{agreement.pairs} scores of {agreement.references} references"
    wide_console().print(table)
    if info.importances is not None and len(info.importances) > 1:
        importances = Table(
            "amount",
            "importance",
            "in 9 of 10 cases",
            caption="relative to the largest importance",
            box=box.SIMPLE,
        )
        for name, value in info.importances.items():
            low, high = (agreement.intervals or {}).get(name, (value, value))
            importances.add_row(name, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
        wide_console().print(importances)


def print_distortions(distortions: Sequence[Distortion]) -> None:
    """Print distortions with number, name, range and the meaning of their strength."""
    table = Table("number", "name", "parameter", "range", "strength", "amount 1 at", box=box.SIMPLE)
    for number, distortion in enumerate(distortions):
        low, high = distortion.range
        table.add_row(
            str(number),
            distortion.name,
            distortion.parameter,
            f"{low:g} to {high:g}",
            distortion.unit,
            f"{distortion.reference:g}",
        )
    wide_console().print(table)


def wide_console(least: int = 120) -> Console:
    """Return a console on standard output; away from a terminal it is wide enough for a table.

    Args:
        least: minimum width in columns away from a terminal.
    """
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(least, 120))


def _score_rows(measures: Measures) -> list[Row]:
    spreads = (
        ("score", measures.score),
        ("ceiling", measures.ceiling),
        ("unadapted", measures.baseline),
    )
    rows: list[Row] = [
        (name, which, getattr(spread, which, None), "the ceiling" if name == "score" else "")
        for name, spread in spreads
        for which in _statistics(measures)
    ]
    return [*rows, ("improved", "rankings", measures.improved, "1")]


def _statistics(measures: Measures) -> tuple[str, ...]:
    """Return the statistics to show over rankings."""
    return ("mean", "min", "max") if measures.rankings > 1 else ("mean",)


def _mark_rows(measures: Measures) -> list[Row]:
    named = measures.named or dict.fromkeys(measures.monotonicity)
    return [
        *(("named", name, value, ">= 0.95") for name, value in named.items()),
        *(
            ("monotonicity", name, value, ">= 0.95")
            for name, value in measures.monotonicity.items()
        ),
        ("composition", "two distortions in turn", measures.composition, ">= 0.95"),
        ("stability", "half a gray level of noise", measures.stability, "<= 0.01"),
        *(
            ("retention", f"{name} (never trained)", value, ">= 0.9")
            for name, value in measures.retention.items()
        ),
    ]


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _score_table(measures: Measures) -> Table:
    several = measures.rankings > 1
    columns = {
        "unadapted": (measures.baseline, measures.baseline_pairs),
        "adapted": (measures.score, measures.pairs),
        "noise ceiling": (measures.ceiling, measures.ceiling_pairs),
    }
    # Context files do not report the unadapted distance.
    known = {name: column for name, column in columns.items() if column[0] is not None}
    table = Table(
        "closer",
        "farther",
        *known,
        title=f"2AFC on {measures.images} held-out images"
        + (f", {measures.rankings} rankings" if several else ""),
        caption="share of image pairs that the metric orders as the context says",
        box=box.SIMPLE,
    )
    for pair in measures.pairs:
        less, _, more = pair.partition(">")
        values = (pairs[pair] for _, pairs in known.values() if pairs is not None)
        table.add_row(less, more, *(f"{value:.3f}" for value in values))
    table.add_section()
    for row in _statistics(measures):
        table.add_row(
            f"all pairs{f', {row}' if several else ''}",
            "",
            *(f"[bold]{getattr(spread, row):.3f}[/bold]" for spread, _ in known.values()),
        )
    return table
