"""The figures of ladders as a table on standard output."""

from __future__ import annotations

from rich import box
from rich.table import Table

from dps_train.evaluate.ladders.records import GroupSummary, LadderReport, SizeFigures
from dps_train.evaluate.pair_contexts import Group
from dps_train.evaluate.printing import wide_console

CAPTION = """\
order: rank correlation of distance with strength, mean; worst: of the photograph where it is lowest
even: p90 / p10 over the photographs at one step, worst step and context
named: share of photographs whose largest part at the medium step is the kind's own
"""
GROSS_CAPTION = """\
mild: times as far as the second step, on the lowest ladder that a context does not rank above it
third: share of photographs, over all ladders, where it is farther than the third step
docs/ladders.md says more
"""


def print_ladders(report: LadderReport) -> None:
    """Print the ladders and the gross changes at each size, over the contexts of each group."""
    for figures in report.sizes:
        # A group of contexts has four columns; names of ladders must not break.
        console = wide_console(24 + 36 * len(figures.groups))
        # Not the tables' own titles and captions, which break where a table is narrow.
        console.print(f"{report.title}: {figures.title}", markup=False, soft_wrap=True)
        console.print(_ladders(figures))
        console.print(CAPTION, _gross(figures), GROSS_CAPTION, sep="\n")


def group_title(name: str, group: GroupSummary) -> str:
    """Return the heading of a group of contexts, with their number where it varies.

    >>> from types import SimpleNamespace as Some
    >>> group_title("rankings", Some(contexts=20)), group_title("general", Some(contexts=1))
    ('20 rankings', 'general')
    """
    single = name in (Group.general.value, Group.own.value)
    return name if single else f"{group.contexts} {name}"


def times_text(value: float) -> str:
    """Write how many times: to one digit after the point, large numbers in short.

    >>> times_text(1.23), times_text(123.4), times_text(1e9)
    ('1.2', '123', '1e+09')
    """
    return f"{value:.1f}" if value < 100 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}"


def share_text(value: float | None) -> str:
    """Format a share with two digits; None becomes an empty cell."""
    return "" if value is None else f"{value:.2f}"


def _ladders(figures: SizeFigures) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("ladder", no_wrap=True)
    tells_direction = any(kind.direction is not None for kind in figures.kinds.values())
    tells_strength = any(kind.strength_error is not None for kind in figures.kinds.values())
    for name, group in figures.groups.items():
        for place, column in enumerate(("order", "worst", "even", "named")):
            heading = group_title(name, group) if place == 0 else ""
            table.add_column(f"{heading}\n{column}", justify="right", no_wrap=True)
    if tells_direction:
        table.add_column("\ndirection", justify="right")
    if tells_strength:
        table.add_column("\nstrength off by", justify="right")
    for name, kind in figures.kinds.items():
        row = [name]
        for group in figures.groups.values():
            ladder = group.ladders[name]
            row += _cells(ladder.order, ladder.worst_photograph, ladder.evenness, ladder.named)
        row += [share_text(kind.direction)] * tells_direction
        row += [share_text(kind.strength_error)] * tells_strength
        table.add_row(*row)
    table.add_section()
    for label in ("all", "lowest ladder"):
        row = [label]
        for group in figures.groups.values():
            if label == "all":
                row += _cells(group.order, group.worst_photograph, group.evenness, group.named)
            else:
                row += [f"{group.lowest_ladder:.3f}", "", "", ""]
        table.add_row(*row)
    return table


def _gross(figures: SizeFigures) -> Table:
    table = Table("gross change", box=box.SIMPLE)
    for name, group in figures.groups.items():
        table.add_column(f"{group_title(name, group)}\nmild", justify="right")
        table.add_column("\nagainst")
        table.add_column("\nthird", justify="right")
    first, *_ = figures.groups.values()
    for name in first.gross:
        row = [name]
        for group in figures.groups.values():
            gross = group.gross[name]
            times = "" if gross.times_mild is None else times_text(gross.times_mild)
            row += [times, gross.ladder or "", share_text(gross.beyond_third)]
        table.add_row(*row)
    return table


def _cells(order: float, worst: float, evenness: float, named: float | None) -> list[str]:
    return [f"{order:.3f}", f"{worst:.2f}", times_text(evenness), share_text(named)]
