"""Files of pairs: the images to compare, one pair per row.

A table (`dps_infer.files.tables`) with the columns ``reference`` and ``candidate``: paths of
images, relative to the folder of the table. A column ``ignore`` leaves boxes out of a pair:
``X,Y,W,H``, several separated by semicolons (`dps_infer.images.ignored`). All columns are copied to
the results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dps_infer.bulk.results import CANDIDATE, REFERENCE
from dps_infer.compare.stream import PairSource
from dps_infer.errors import ImageError, TableError, UsageError
from dps_infer.files.tables import OnBytes, Row, TableScan, check_format, read_lines, scan_table
from dps_infer.images.ignored import Ignored

IGNORE = "ignore"
"""The column of boxes that are left out of a pair."""


class PairRow(NamedTuple):
    """One row of a file of pairs: its columns, and the two paths or an error."""

    values: Row
    source: PairSource


def scan_pairs(path: Path) -> TableScan:
    """Read a file of pairs once and check its columns.

    Raises:
        UsageError: its suffix is not one of a table.
        TableError: it cannot be read, is not a valid table, lacks a column, or has no rows.
    """
    check_format(path)
    scan = scan_table(path)
    if scan.rows == 0:
        raise TableError(f"{path}: has no pairs, expected a row for each")
    check_pairs(scan.columns, where=str(path))
    return scan


def read_pairs(path: Path, *, on_bytes: OnBytes | None = None) -> Iterator[PairRow]:
    """Read a file of pairs row by row; see `dps_infer.files.tables.read_lines`."""
    for line in read_lines(path, on_bytes=on_bytes):
        if line.fault:
            yield PairRow(line.values, ImageError(line.fault))
        else:
            source = pair_source(line.values, path.parent, row=f"row {line.number}")
            yield PairRow(line.values, source)


def check_pairs(columns: Collection[str], *, where: str) -> None:
    """Refuse a table without the columns of a pair.

    Raises:
        TableError: a column is missing; it names the table `where`.
    """
    missing = [name for name in (REFERENCE, CANDIDATE) if name not in columns]
    if missing:
        there = ", ".join(map(repr, list(columns)[:10])) or "none"
        raise TableError(
            f"{where}: has no column {missing[0]!r} among its columns ({there}), expected "
            f"{REFERENCE!r} and {CANDIDATE!r}: rename one"
        )


def pair_source(values: Mapping[str, Any], folder: Path, *, row: str) -> PairSource:
    """Return the paths of a row in a folder, and what is left out; or an error with its name."""
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
    boxes = values.get(IGNORE)
    if boxes is None or boxes == "":
        return paths[0], paths[1]
    try:
        return paths[0], paths[1], parse_column(str(boxes))
    except UsageError as error:
        return ImageError(f"{row}, column {IGNORE!r}: {error}")


def parse_column(text: str) -> Ignored:
    """Read the boxes of a row: ``"0,0,100%,5%; 10,20,30,40"``.

    Raises:
        UsageError: a box is not valid.
    """
    return Ignored([box for box in text.split(";") if box.strip()])
