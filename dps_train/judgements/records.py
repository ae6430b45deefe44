"""Rows of CSV files that people write, with the row numbers that a spreadsheet shows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from dps_infer.errors import UsageError

Problem = tuple[int, str]
"""The row that a problem is in, counted from 1, and the problem."""


def csv_records(
    path: Path, problems: list[Problem], *, expected: str, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the stripped values of each row that holds any, the header included.

    Args:
        path: the file, in UTF-8, with or without a byte order mark.
        problems: rows that are not text are added here.
        expected: the contents of the file, for the message: "a CSV file with the columns a,b".
        delimiter: the character between values.

    Raises:
        UsageError: the file cannot be read.
    """
    number = 0
    try:
        # Bytes that are not UTF-8 become surrogates, so that they cost a row and not the file.
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
