"""Tables with a header row, as scores are published in: rows by column, problems by row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from dps_train.agreement.scores.scored_pairs import RowProblem
from dps_train.data.csv_rows import Problem, read_records


def table_rows(
    path: Path,
    columns: Sequence[str],
    problems: list[RowProblem],
    *,
    optional: Sequence[str] | None = (),
    delimiter: str = ",",
    header_anywhere: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each row after the header.

    Args:
        path: the file.
        columns: names that the header must have, in any order.
        problems: everything that is wrong is added here.
        optional: further names that it may have; None accepts any.
        delimiter: the character between cells.
        header_anywhere: skip the rows before the header, and empty columns.

    Raises:
        UsageError: the file cannot be read.
    """
    broken: list[Problem] = []
    wanted = ",".join(columns) + (f"[,{','.join(optional)}]" if optional else "")
    records = read_records(
        path, broken, expected=f"a table with the columns {wanted}", delimiter=delimiter
    )
    number, header = 1, [""]
    for record in records:
        number, header = record
        if not header_anywhere or set(columns) <= set(header):
            break
    named = [name for name in header if name]
    unknown = [name for name in named if name not in (*columns, *(optional or ()))]
    surplus = optional is not None and bool(unknown)
    missing = [name for name in columns if name not in named]
    twice = len(set(named)) < len(named)
    if missing or surplus or twice or (not header_anywhere and len(named) < len(header)):
        came = f"the columns are {','.join(header)}" if any(header) else "the file is empty"
        problems.append(RowProblem(path, number, f"{came}: expected {wanted}"))
    else:
        count = 0
        for number, cells in records:
            count += 1
            if len(cells) != len(header):
                text = f"expected {len(header)} values, got {len(cells)}"
                problems.append(RowProblem(path, number, text))
                continue
            yield number, dict(zip(header, cells, strict=True))
        if not count and not broken:
            problems.append(RowProblem(path, number, f"is the last: expected rows of {wanted}"))
    problems += [RowProblem(path, row, text) for row, text in broken]


def number_of(
    text: str, column: str, at: tuple[Path, int], problems: list[RowProblem]
) -> float | None:
    """Return a cell's finite number; None, and a problem more, where it holds none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    problems.append(RowProblem(*at, f"{column} is {text!r}: expected a number"))
    return None
