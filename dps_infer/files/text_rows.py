"""Read the rows of CSV and JSON lines files. A bad row does not stop the rows after it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from dps_infer.errors import TableError

MAX_LINE_BYTES = 1 << 20

Parsed = tuple[dict[str, Any], str]
"""The values of a row by column, and one line that says why it is unusable, or nothing."""


def csv_header(path: Path, stream: BinaryIO) -> list[str]:
    """Return the columns of a CSV file.

    Raises:
        TableError: there is no header line.
    """
    return _header(path, _csv_rows(path, stream))


def csv_rows(path: Path, stream: BinaryIO) -> Iterator[Parsed]:
    """Yield the rows of a CSV file without the header and blank lines.

    Raises:
        TableError: there is no header line, or the file is not a table.
    """
    rows = _csv_rows(path, stream)
    header = _header(path, rows)
    for number, row in enumerate(rows, start=1):
        if isinstance(row, csv.Error):
            yield {}, f"row {number} is not CSV ({row})"
            continue
        faults = []
        if len(row) != len(header):
            faults.append(f"row {number} has {len(row)} cells, expected {len(header)}")
        if any(_has_surrogates(cell) for cell in row):
            faults.append(f"row {number} is not UTF-8 text")
            row = [
                cell.encode(errors="surrogateescape").decode(errors="backslashreplace")
                for cell in row
            ]
        # A missing cell counts as empty; a surplus one has no column.
        yield dict(zip(header, row, strict=False)), "; ".join(faults)


def json_rows(path: Path, stream: BinaryIO) -> Iterator[Parsed]:
    """Yield the objects of a JSON lines file; blank lines are skipped.

    Raises:
        TableError: the file is not a table.
    """
    lines = (line for line in _bounded_lines(path, stream) if line.strip())
    for number, line in enumerate(lines, start=1):
        try:
            value = msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            yield {}, f"row {number} is not JSON ({error})"
            continue
        if isinstance(value, dict):
            yield value, ""
        else:
            yield {}, f"row {number} is not a JSON object: expected {{...}}"


def _header(path: Path, rows: Iterator[list[str] | csv.Error]) -> list[str]:
    header = next(rows, None)
    if not isinstance(header, list):
        raise TableError(f"{path}: is empty, expected a header line with the columns")
    return header


def _csv_rows(path: Path, stream: BinaryIO) -> Iterator[list[str] | csv.Error]:
    """Yield the rows that are not blank, header first, or the error in a row."""
    text = (line.decode(errors="surrogateescape") for line in _bounded_lines(path, stream))
    rows = csv.reader(text, strict=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
            continue
        if row:
            yield row


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _bounded_lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines, without the byte order mark that some programs put before the first."""
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise TableError(
                f"{path}: has a line of more than {MAX_LINE_BYTES} bytes: it is not a table"
            )
        if first and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError(f"{path}: is UTF-16 text, expected UTF-8: save it as UTF-8")
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False
