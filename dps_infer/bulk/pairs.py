"""Files of pairs: which images to compare, one pair a row.

A table (`dps_infer.files.tables`) with the columns ``reference`` and ``candidate``: paths of
images, relative to the folder of the table. Every other column is kept for the results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dps_infer.bulk.results import CANDIDATE, REFERENCE
from dps_infer.compare.stream import PairSource
from dps_infer.errors import ImageError, TableError
from dps_infer.files.tables import Kind, Row, check_format, read_columns, read_lines
from dps_infer.files.write import sha256_file


@dataclass(frozen=True)
class PairsFile:
    """A file of pairs, looked through once.

    Attributes:
        path: the file.
        columns: what they hold, in their order (`dps_infer.files.tables.Columns`).
        rows: how many there are.
        sha256: of the file's bytes, in hexadecimal.
    """

    path: Path
    columns: dict[str, Kind | Any]
    rows: int
    sha256: str


@dataclass(frozen=True)
class PairRow:
    """One row of a file of pairs.

    Attributes:
        values: its columns, as they are.
        source: what to score: the two paths, or what is wrong with the row.
    """

    values: Row
    source: PairSource


def open_pairs(path: Path) -> PairsFile:
    """Look through a file of pairs: its columns, rows and hash.

    Raises:
        UsageError: its suffix is none of a table.
        TableError: it cannot be read, is no such table, or lacks a column.
    """
    check_format(path)
    columns = read_columns(path)
    check_pairs(columns, where=str(path))
    rows = sum(1 for _ in read_lines(path))
    return PairsFile(path, columns, rows, sha256_file(path))


def read_pairs(path: Path) -> Iterator[PairRow]:
    """Read a file of pairs row by row, in constant memory.

    Raises:
        TableError: the file cannot be read on.
    """
    for line in read_lines(path):
        if line.fault:
            yield PairRow(line.values, ImageError(line.fault))
        else:
            source = pair_source(line.values, path.parent, row=f"row {line.number}")
            yield PairRow(line.values, source)


def check_pairs(columns: Collection[str], *, where: str) -> None:
    """Refuse a table whose columns name no pairs.

    Raises:
        TableError: one is missing; it names the table as `where`.
    """
    missing = [name for name in (REFERENCE, CANDIDATE) if name not in columns]
    if missing:
        there = ", ".join(map(repr, list(columns)[:10])) or "none"
        raise TableError(
            f"{where}: has no column {missing[0]!r} among its columns ({there}), expected "
            f"{REFERENCE!r} and {CANDIDATE!r}: rename one"
        )


def pair_source(values: Mapping[str, Any], folder: Path, *, row: str) -> PairSource:
    """Return the two paths of a row, or what is wrong with it.

    Args:
        values: by column.
        folder: where relative paths begin.
        row: how the row is called where it is wrong.
    """
    paths = []
    for name in (REFERENCE, CANDIDATE):
        value = values.get(name)
        if not isinstance(value, str) or not value.strip():
            got = "nothing" if value is None or value == "" else repr(value)[:100]
            return ImageError(f"{row} has {got} as its {name}, expected a path")
        if "\0" in value:
            return ImageError(f"{row} has a null character in its {name}")
        # An absolute path stays as it is.
        paths.append(str(folder / value))
    return paths[0], paths[1]
