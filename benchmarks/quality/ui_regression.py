"""Changes of web pages that the context `ui-regression` tells from pages rendered anew.

A threshold is calibrated on pages that another machine would render a little differently, checked
on further ones, and then applied to pages with one change each. `--pages` is the folder that
`python examples/tutorials/web_pages.py` writes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import typer

from benchmarks.shared.options import ThreadsOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_infer import Metric
from dps_infer.bulk.threshold_estimate import CONFIDENCE, upper_bound
from dps_infer.errors import DpsError
from dps_infer.model import embedded
from dps_infer.progress import track

CONTEXT = "ui-regression"
FALSE_ALARMS = 0.05
MOVED = ("main part 0.4 pixels to the right", "page one pixel lower")
"""Renderings in which text is smoothed as before, so that they occur on one machine."""

ACCEPTABLE, MORE, CHANGED = "acceptable.csv", "more-acceptable.csv", "changed.csv"

PagesOption = Annotated[Path, typer.Option(help="A folder of screenshots with tables of pairs.")]
OthersOption = Annotated[
    list[Path] | None,
    typer.Option(help="Another table of pairs with the column change, measured as well."),
]


class Group(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Pairs with one kind of change: in words, and their distances."""

    change: str
    distances: list[float]


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Distances of acceptable pairs and of changed ones.

    Attributes:
        threshold: that the acceptable pairs give.
        acceptable: those that the threshold comes from.
        more: further ones.
        changed: pages with a change that a test should find.
        others: changes of the pages of other tables.
    """

    threshold: float
    acceptable: list[Group]
    more: list[Group]
    changed: list[Group]
    others: list[Group]


def measure(
    pages: PagesOption, others: OthersOption = None, threads: ThreadsOption = 1
) -> Measured:
    """Measure all pairs, and estimate the threshold."""
    for table in (pages / ACCEPTABLE, pages / MORE, pages / CHANGED, *(others or [])):
        if not table.is_file():
            raise DpsError(f"no table {table}: expected a file of pairs")
    metric = Metric.named(CONTEXT, device="cpu", threads=threads)
    acceptable = groups([pages / ACCEPTABLE], metric)
    bound = upper_bound(
        [distance for group in acceptable for distance in group.distances],
        false_alarms=FALSE_ALARMS,
        confidence=CONFIDENCE,
    )
    figures = Figures(
        threshold=bound.distance,
        acceptable=acceptable,
        more=groups([pages / MORE], metric),
        changed=groups([pages / CHANGED], metric),
        others=groups(others or [], metric),
    )
    inputs = {"universal": file_input(embedded.UNIVERSAL)}
    return Measured(figures, inputs)


def groups(tables: Iterable[Path], metric: Metric) -> list[Group]:
    """Measure the pairs of some tables, kind by kind."""
    found: dict[str, Group] = {}
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in track(rows, table.name):
            compared = metric.compare(
                table.parent / row["reference"], table.parent / row["candidate"]
            )
            group = found.setdefault(row["change"], Group(change=row["change"], distances=[]))
            group.distances.append(compared.distance)
    return list(found.values())


def threshold_on_one_machine(figures: Figures) -> float:
    """Return the threshold of all pairs whose text is smoothed alike."""
    pairs = [
        distance
        for group in (*figures.acceptable, *figures.more)
        if group.change in MOVED
        for distance in group.distances
    ]
    return upper_bound(pairs, false_alarms=FALSE_ALARMS, confidence=CONFIDENCE).distance


def tables(figures: Figures) -> dict[str, Table]:
    """Return a table of acceptable pairs, one of changes, and one of other pages."""
    limit, closer = figures.threshold, threshold_on_one_machine(figures)
    more = {group.change: group.distances for group in figures.more}

    def spread(distances: list[float]) -> tuple[str, ...]:
        numbers = (min(distances), median(distances), max(distances))
        return (str(len(distances)), *(f"{number:.4f}" for number in numbers))

    def above(distances: list[float], limit: float = limit) -> str:
        return f"{sum(d > limit for d in distances)} of {len(distances)}"

    columns = ("pairs", "lowest", "median", "largest")
    every = [d for group in figures.acceptable for d in group.distances]
    further = [d for distances in more.values() for d in distances]
    acceptable = [
        (g.change, *spread(g.distances), above(more.get(g.change, []))) for g in figures.acceptable
    ]
    acceptable.append(("all", *spread(every), above(further)))
    changed = sorted(figures.changed, key=lambda group: -median(group.distances))
    others = sorted(figures.others, key=lambda group: max(group.distances))
    return {
        "acceptable": Table(
            ("rendered anew", *columns, "above the threshold, of further pairs"), acceptable
        ),
        "changed": Table(
            (
                "change",
                *columns,
                f"above {limit:.4f} (any machine)",
                f"above {closer:.4f} (one machine)",
            ),
            [
                (g.change, *spread(g.distances), above(g.distances), above(g.distances, closer))
                for g in changed
            ],
        ),
        "others": Table(
            ("other page", "distance"),
            [(g.change, f"{d:.4f}") for g in others for d in g.distances],
        ),
    }
