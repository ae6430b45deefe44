"""Rows of results: the table that every command over many pairs writes and reads.

One flat row per pair, the same in CSV, JSON lines and Parquet (`dps_infer.files.tables`). First
come the columns of the input, unchanged, or ``reference`` and ``candidate``. In one context they
are followed by

- ``distance``, and ``part.<name>`` for each of its parts, which add up to it;

in several contexts, by their labels, by ``distance.<label>`` for each, and then
``part.<label>.<name>``. The last columns are always

- ``identical``: whether no pixel differs;
- ``notes``: how the images were converted, joined by "; ";
- ``context``: "label: description", several joined by " | ";
- ``error``: empty, or the reason, in one line, why the numbers are null.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.errors import TableError, UsageError
from dps_infer.files.tables import Columns, Kind, Row, Write, open_table, read_columns, read_lines

REFERENCE, CANDIDATE = "reference", "candidate"
DISTANCE, PART = "distance", "part"
IDENTICAL, NOTES, CONTEXT, ERROR = "identical", "notes", "context", "error"
PAIR_COLUMNS: Columns = {REFERENCE: Kind.text, CANDIDATE: Kind.text}
"""The first columns if the input has no columns of its own."""

_BOOLEANS = {True: True, "true": True, False: False, "false": False, None: None, "": None}


@dataclass(frozen=True)
class ResultColumns:
    """The names of the columns of results.

    Attributes:
        inputs: the first columns, ``reference`` and ``candidate`` among them.
        distances: the columns of distances by the labels of the contexts. In a file with a single
            context, its label is empty.
        parts: by label, the columns of the parts by their names.
    """

    inputs: tuple[str, ...]
    distances: dict[str, str]
    parts: dict[str, dict[str, str]]


def columns(metrics: Mapping[str, Metric]) -> dict[str, Kind]:
    """Return the columns of results and their kinds, without those of the input."""
    names = _names(metrics)
    parts = [name for of_context in names.parts.values() for name in of_context.values()]
    return {
        **dict.fromkeys([*names.distances.values(), *parts], Kind.number),
        IDENTICAL: Kind.boolean,
        **dict.fromkeys([NOTES, CONTEXT, ERROR], Kind.text),
    }


def _names(metrics: Mapping[str, Metric]) -> ResultColumns:
    suffixes = {label: f".{label}" if len(metrics) > 1 else "" for label in metrics}
    return ResultColumns(
        inputs=(),
        distances={label: f"{DISTANCE}{suffix}" for label, suffix in suffixes.items()},
        parts={
            label: {part: f"{PART}{suffix}.{part}" for part in metrics[label].part_names}
            for label, suffix in suffixes.items()
        },
    )


def check_free(inputs: Collection[str], metrics: Mapping[str, Metric], *, where: str) -> None:
    """Refuse input whose columns have the names of results.

    Raises:
        UsageError: an input column is also one of the results; it names the input `where`.
    """
    taken = [name for name in columns(metrics) if name in inputs]
    if taken:
        raise UsageError(f"{where}: has a column {taken[0]!r}, as the results have: rename it")


def row(
    comparisons: Mapping[str, Comparison], metrics: Mapping[str, Metric], *, error: str = ""
) -> Row:
    """Return the results of one pair by column; without comparisons there is an error.

    >>> row({}, {}, error="a.png: no such file")["error"]
    'a.png: no such file'
    """
    values: Row = dict.fromkeys(columns(metrics))
    names = _names(metrics)
    for label, comparison in comparisons.items():
        values[names.distances[label]] = comparison.distance
        for part, value in comparison.parts.items():
            values[names.parts[label][part]] = value
        # The images were converted once, for all contexts.
        values[IDENTICAL] = comparison.identical
        values[NOTES] = "; ".join(comparison.notes)
    values[NOTES] = values[NOTES] or ""
    values[CONTEXT] = " | ".join(f"{label}: {m.describe()}" for label, m in metrics.items())
    values[ERROR] = " ".join(error.split())
    return values


def open_results(
    path: Path,
    metrics: Mapping[str, Metric],
    *,
    input_columns: Columns = PAIR_COLUMNS,
    force: bool = False,
    escape_formulas: bool = False,
) -> AbstractContextManager[Write]:
    """Open a file of results for writing; see `dps_infer.files.tables.open_table`."""
    all_columns = {**input_columns, **columns(metrics)}
    return open_table(path, all_columns, force=force, escape_formulas=escape_formulas)


def result_columns(path: Path) -> ResultColumns:
    """Return the columns of a file of results.

    Raises:
        TableError: it cannot be read, or is not a file of results.
    """
    names = list(read_columns(path))
    missing = [n for n in (REFERENCE, CANDIDATE, IDENTICAL, CONTEXT, ERROR) if n not in names]
    distances = {
        name[len(DISTANCE) + 1 :]: name
        for name in names
        if name == DISTANCE or name.startswith(f"{DISTANCE}.")
    }
    if missing or not distances:
        raise TableError(
            f"{path}: is not a file of results: it has no column {(missing or [DISTANCE])[0]!r}, "
            "expected a file written by dps-infer batch or folder"
        )
    parts: dict[str, dict[str, str]] = {}
    for label in distances:
        start = f"{PART}." if label == "" else f"{PART}.{label}."
        parts[label] = {name[len(start) :]: name for name in names if name.startswith(start)}
    first = names.index(next(iter(distances.values())))
    return ResultColumns(tuple(names[:first]), distances, parts)


def read_results(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Read a file of results row by row, in constant memory.

    Yields:
        Every column: distances and parts are numbers or None, ``identical`` is True, False or
        None, ``notes``, ``context`` and ``error`` are text.

    Raises:
        TableError: it cannot be read, is not a file of results, or has an invalid row.
    """
    yield from read_rows(Path(path), result_columns(Path(path)))


def read_rows(path: Path, found: ResultColumns) -> Iterator[Row]:
    """Read the rows of a file of results whose columns are known; see `read_results`."""
    numbers = [*found.distances.values()]
    numbers += [name for parts in found.parts.values() for name in parts.values()]
    for line in read_lines(path):
        if line.fault:
            raise TableError(f"{path}: {line.fault}")
        try:
            values = {**line.values, **{name: _number(line.values[name]) for name in numbers}}
            values[IDENTICAL] = _BOOLEANS[line.values[IDENTICAL]]
            values |= {name: line.values.get(name) or "" for name in (NOTES, CONTEXT, ERROR)}
        except (KeyError, TypeError, ValueError):
            raise TableError(f"{path}: row {line.number} is not a row of results") from None
        yield values


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)
