"""Read the rows of CSV and JSON lines files. A bad row does not stop the rows after it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from dps_infer.errors import TableError

MAX_LINE_BYTES = 1 << 20

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Separators that are named when they take the place of commas."""

OnBytes = Callable[[bytes], object]
"""Called with the bytes of a file in their order, as they are read."""

Parsed = tuple[dict[str, Any], str]
"""The values of a row by column, and one line that says why it is unusable, or nothing."""


def bounded_lines(path: Path, stream: BinaryIO, on_bytes: OnBytes | None = None) -> Iterator[bytes]:
    """Yield the lines of a text file, without a byte order mark before the first one.

    Raises:
        TableError: a line is too long, or the text is UTF-16.
    """
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if on_bytes is not None:
            on_bytes(line)
        if len(line) > MAX_LINE_BYTES:
            raise TableError(
                f"{path}: has a line of more than {MAX_LINE_BYTES} bytes: it is not a table"
            )
        if first and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError(f"{path}: is UTF-16 text, expected UTF-8: save it as UTF-8")
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


def csv_table(path: Path, lines: Iterator[bytes]) -> tuple[list[str], Iterator[Parsed]]:
    """Return the columns and the rows of a CSV file; blank lines are skipped.

    Raises:
        TableError: there is no header line, or it is not in UTF-8 and separated by commas.
    """
    rows = _csv_rows(lines)
    header = next(rows, None)
    if header is None:
        raise TableError(f"{path}: is empty, expected a header line with the columns")
    if isinstance(header, csv.Error):
        if "new-line character" in str(header):
            raise TableError(
                f"{path}: its lines end in carriage returns alone, expected line feeds: save it "
                "with the line ends of Unix or Windows"
            )
        raise TableError(f"{path}: its header line is not CSV ({header})")
    if any(map(_has_surrogates, header)):
        raise TableError(f"{path}: its header line is not UTF-8 text: save the file as UTF-8")
    if len(header) == 1:
        for separator, name in OTHER_SEPARATORS.items():
            if separator in header[0]:
                raise TableError(
                    f"{path}: is separated by {name}, expected commas: save it with commas"
                )
    return header, _parsed(header, rows)


def json_rows(lines: Iterator[bytes]) -> Iterator[Parsed]:
    """Yield the objects of a JSON lines file; blank lines are skipped."""
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        try:
            value = msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            yield {}, f"row {number} is not JSON ({error})"
            continue
        if isinstance(value, dict):
            yield value, ""
        else:
            yield {}, f"row {number} is not a JSON object: expected {{...}}"


def _parsed(header: list[str], rows: Iterator[list[str] | csv.Error]) -> Iterator[Parsed]:
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


def _csv_rows(lines: Iterator[bytes]) -> Iterator[list[str] | csv.Error]:
    """Yield the rows that are not blank, header first, or the error in a row."""
    rows = csv.reader((line.decode(errors="surrogateescape") for line in lines), strict=True)
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
