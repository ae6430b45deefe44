"""CSV files that a user writes: rows with named columns, and every problem with its row number.

Rows count as in a spreadsheet: the header is row 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dps_infer.errors import DataError, UsageError

Problem = tuple[int, str]
"""The number of a row, and a description of the problem."""


@dataclass(frozen=True)
class CsvRow:
    """One row: its number, and stripped values by column, without columns that the header lacks."""

    number: int
    cells: dict[str, str]


def read_csv_rows(path: Path, columns: Sequence[str]) -> tuple[list[CsvRow], list[Problem]]:
    """Read a CSV file (UTF-8) with these columns, in any order; blank rows are skipped.

    Returns the rows and the problems. Even with wrong columns, rows with known columns are
    returned, so that problems of their values can be reported at the same time.

    Raises:
        UsageError: the file cannot be opened.
    """
    problems: list[Problem] = []
    expected = f"a CSV file with the columns {','.join(columns)}"
    records = read_records(path, problems, expected=expected)
    number, header = next(records, (1, []))
    if problems:
        # Without a readable header the rows mean nothing.
        return [], problems[:1]
    if sorted(header) != sorted(columns):
        found = f"the columns are {','.join(header)}" if header else "the file is empty"
        problems.append((number, f"{found}: expected {','.join(columns)}"))
    rows: list[CsvRow] = []
    if set(columns).isdisjoint(header):
        return rows, problems
    for number, values in records:
        if len(values) == len(header):
            cells = dict(zip(header, values, strict=True))
            rows.append(CsvRow(number, {name: cells[name] for name in columns if name in cells}))
        else:
            problems.append((number, f"expected {len(header)} values, got {len(values)}"))
    return rows, problems


def refuse_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Raise a `DataError` that lists the problems in the order of their rows, if there are any."""
    if problems:
        # The sort is stable: the problems of a row stay in order.
        ordered = sorted(problems, key=lambda problem: problem[0])
        raise DataError([f"{path} row {number}: {text}" for number, text in ordered])


def read_records(
    path: Path, problems: list[Problem], *, expected: str, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and stripped values of rows that are not blank, the header included.

    Args:
        path: the file, in UTF-8, with or without a byte order mark.
        problems: unreadable rows are added here.
        expected: the contents of the file, for the message: "a CSV file with the columns a,b".
        delimiter: the character between values.

    Raises:
        UsageError: the file cannot be opened.
    """
    number = 0
    try:
        # Bytes that are not UTF-8 become surrogates, so that they spoil their row, not the file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=delimiter == " ")
            for number, values in enumerate(rows, start=1):
                if not all(_is_text(value) for value in values):
                    problems.append((number, "is not UTF-8 text: save the file as CSV in UTF-8"))
                elif values:
                    yield number, [value.strip() for value in values]
    except csv.Error as error:
        problems.append((number + 1, f"cannot be read as CSV in UTF-8 ({error})"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): expected {expected}") from None


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in value)
