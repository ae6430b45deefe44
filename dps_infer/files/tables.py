"""Read and write tables of any length, row by row: CSV, JSON lines and Parquet.

The suffix of a file decides its format:

- *CSV* (``.csv``): UTF-8, separated by commas, a header line. Every cell is text. Spreadsheets run
  texts such as ``=1+1`` as formulas; `open_table` can escape them.
- *JSON lines* (``.jsonl``): UTF-8, one object per line. A key that a line lacks is null.
- *Parquet* (``.parquet``): needs the package pyarrow.
"""

from __future__ import annotations

import csv
import enum
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from dps_infer.errors import DpsError, TableError, UsageError
from dps_infer.extras import install
from dps_infer.files.read import open_input
from dps_infer.files.text_rows import OnBytes as OnBytes
from dps_infer.files.text_rows import Parsed, bounded_lines, csv_table, json_rows
from dps_infer.files.write import atomic_file

MAX_COLUMNS = 1000
ROWS_A_GROUP = 4096
"""Rows of a Parquet file held in memory at a time."""

LARGEST_EXACT = 2**53
"""Larger integers are not all exact as floating-point numbers."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Texts that begin with one of these are formulas to a spreadsheet, unless they are numbers."""

Row = dict[str, Any]
"""Values by column; None for a missing value."""

Write = Callable[[Row], None]


class Format(str, enum.Enum):
    """The file format of a table."""

    csv = ".csv"
    jsonl = ".jsonl"
    parquet = ".parquet"


class Kind(str, enum.Enum):
    """The type of a column, for formats that have types."""

    text = "text"
    number = "number"
    integer = "integer"
    boolean = "boolean"


Columns = Mapping[str, "Kind | Any"]
"""The types of the columns in order: a `Kind`, or a type of pyarrow, which Parquet files keep."""


@dataclass(frozen=True)
class TableScan:
    """The properties of a table found in one pass.

    Attributes:
        columns: the types of the columns, in order.
        rows: number of rows.
        sha256: hash of the file's bytes, in hexadecimal.
    """

    columns: dict[str, Kind | Any]
    rows: int
    sha256: str


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
        number: counted from 1, without the header.
        values: the values that could be read.
        fault: one line that says why the row is unusable; empty if it is usable.
    """

    number: int
    values: Row
    fault: str = ""


def check_format(path: Path, *, escape_formulas: bool = False) -> Format:
    """Return a table's format by its suffix, and check that it can be read and written here.

    Raises:
        UsageError: an unknown suffix, or `escape_formulas` for another format than CSV.
        DpsError: pyarrow is not installed, for Parquet.
    """
    try:
        chosen = Format(path.suffix.lower())
    except ValueError:
        known = ", ".join(known.value for known in Format)
        raise UsageError(
            f"{path}: expected a name that ends in one of {known}, got {path.suffix or 'none'}"
        ) from None
    if escape_formulas and chosen is not Format.csv:
        raise UsageError(f"{path}: --escape-formulas is for .csv: leave it out")
    if chosen is Format.parquet:
        _pyarrow()
    return chosen


def read_columns(path: Path) -> dict[str, Kind | Any]:
    """Return the types of a table's columns: every column that any row has.

    Raises:
        TableError: the file cannot be read, is not such a table, or names a column twice.
    """
    with _open(path) as table:
        return table.columns or _inferred(path, table.rows)[0]


def scan_table(path: Path) -> TableScan:
    """Read a table once for its columns, its number of rows and its hash.

    Raises:
        TableError: the file cannot be read, is not such a table, or names a column twice.
    """
    digest = hashlib.sha256()
    with _open(path, digest.update) as table:
        if table.columns is None:
            columns, count = _inferred(path, table.rows)
        else:
            # The rows of a Parquet file are counted in it, and yet read: one that cannot be read
            # is found now, and not after hours of work on those before it.
            columns, count = table.columns, sum(1 for _ in table.rows)
    return TableScan(columns, count, digest.hexdigest())


def read_lines(path: Path, *, on_bytes: OnBytes | None = None) -> Iterator[Line]:
    """Read a table row by row, in constant memory.

    Args:
        path: the table.
        on_bytes: has received the whole file when the iterator ends. A Parquet file, which is not
            read from front to back, is read a second time for it.

    Raises:
        TableError: the file cannot be read or is not such a table.
    """
    with _open(path, on_bytes) as table:
        for number, (values, fault) in enumerate(table.rows, start=1):
            yield Line(number, values, fault)


@contextmanager
def open_table(
    path: Path, columns: Columns, *, force: bool = False, escape_formulas: bool = False
) -> Iterator[Write]:
    """Give a function that writes a row; the file appears complete when the block succeeds.

    Rows need not have every column. Lists and objects become JSON text where a format or a column
    cannot hold them.

    Args:
        path: its suffix decides the format.
        columns: the types of the columns, in order.
        force: replace an existing file.
        escape_formulas: put an apostrophe before texts that a spreadsheet would run, in CSV.

    Raises:
        OutputError: the file exists (without `force`) or cannot be written.
        UsageError: an unknown suffix, or `escape_formulas` for another format than CSV.
    """
    chosen = check_format(path, escape_formulas=escape_formulas)
    cell = _escaped_cell if escape_formulas else _cell
    with atomic_file(path, force=force) as temporary:
        if chosen is Format.csv:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(map(cell, columns))
                yield lambda row: writer.writerow(cell(row.get(name)) for name in columns)
        elif chosen is Format.jsonl:
            with temporary.open("wb") as file:
                yield lambda row: file.writelines(
                    (_JSON.encode({name: row.get(name) for name in columns}), b"\n")
                )
        else:
            with _parquet_writer(temporary, columns) as write:
                yield write


def arrow_schema(columns: Columns) -> Any:
    """Return the pyarrow.Schema of columns.

    Raises:
        DpsError: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    types = {
        Kind.text: pyarrow.string(),
        Kind.number: pyarrow.float64(),
        Kind.integer: pyarrow.int64(),
        Kind.boolean: pyarrow.bool_(),
    }
    return pyarrow.schema(
        [(name, types[kind] if isinstance(kind, Kind) else kind) for name, kind in columns.items()]
    )


class _Table(NamedTuple):
    """An open table: its columns, None if they are not stated, and its rows."""

    columns: dict[str, Any] | None
    rows: Iterator[Parsed]


@contextmanager
def _open(path: Path, on_bytes: OnBytes | None = None) -> Iterator[_Table]:
    chosen = check_format(path)
    with open_input(path, expected="a table", error=TableError) as stream:
        if chosen is Format.parquet:
            with _parquet_file(path, stream) as file:
                schema = file.schema_arrow
                columns = _checked(path, schema.names, schema.types)
                yield _Table(columns, _parquet_rows(path, file))
            stream.seek(0)
            while on_bytes is not None and (block := stream.read(1 << 20)):
                on_bytes(block)
        elif chosen is Format.csv:
            header, rows = csv_table(path, bounded_lines(path, stream, on_bytes))
            yield _Table(_checked(path, header, [Kind.text] * len(header)), rows)
        else:
            yield _Table(None, json_rows(bounded_lines(path, stream, on_bytes)))


def _inferred(path: Path, rows: Iterator[Parsed]) -> tuple[dict[str, Kind], int]:
    """Return every column that any row has, and the number of rows.

    Raises:
        TableError: too many columns, or there are rows and none of them is usable.
    """
    found: dict[str, Kind | None] = {}
    large: set[str] = set()
    count, first_fault = 0, ""
    for values, fault in rows:
        count += 1
        first_fault = first_fault or fault
        for name, value in values.items():
            found[name] = _wider(found.get(name), value)
            if isinstance(value, int) and abs(value) > LARGEST_EXACT:
                large.add(name)
        if len(found) > MAX_COLUMNS:
            break
    if first_fault and not found:
        raise TableError(f"{path}: no row of it can be used: {first_fault}")
    # Integers that a floating-point number cannot hold stay exact as text.
    kinds = [
        Kind.text if kind is None or (kind is Kind.number and name in large) else kind
        for name, kind in found.items()
    ]
    return _checked(path, list(found), kinds), count


_JSON = msgspec.json.Encoder(enc_hook=str)
"""Parquet files hold values of types that JSON does not have."""


def _cell(value: object) -> str:
    """Return a value as text; numbers keep every digit."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    data = _JSON.encode(value)
    # Dates, decimal numbers and bytes are texts in JSON; a cell needs no quotes around them.
    return str(msgspec.json.decode(data)) if data.startswith(b'"') else data.decode()


def _escaped_cell(value: object) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    text = _cell(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _NUMBER.match(text) else text


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")


def _kind(value: object) -> Kind | None:
    """Return the kind of a value; None for null, which fits every column."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Kind.boolean
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Kind.integer
    return Kind.number if isinstance(value, float) else Kind.text


def _wider(kind: Kind | None, value: object) -> Kind | None:
    """Return the kind that can hold both a column's values so far and another value."""
    other = _kind(value)
    if kind is None or other is None or kind is other:
        return kind or other
    return Kind.number if {kind, other} == {Kind.integer, Kind.number} else Kind.text


def _checked(path: Path, names: list[str], kinds: list[Any]) -> dict[str, Any]:
    if len(names) > MAX_COLUMNS:
        raise TableError(f"{path}: has more than {MAX_COLUMNS} columns")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise TableError(f"{path}: has the column {twice[0]!r} twice: rename one")
    return dict(zip(names, kinds, strict=True))


# --- Parquet --------------------------------------------------------------------------


def _parquet_rows(path: Path, file: Any) -> Iterator[Parsed]:
    for batch in file.iter_batches(batch_size=ROWS_A_GROUP):
        try:
            rows = batch.to_pylist()
        except (ValueError, OverflowError):
            _refuse_column(path, batch)
            raise
        yield from ((values, "") for values in rows)


def _refuse_column(path: Path, batch: Any) -> None:
    """Raise a TableError that names the column with values that Python cannot hold."""
    for name in batch.schema.names:
        try:
            batch.column(name).to_pylist()
        except (ValueError, OverflowError) as error:
            raise TableError(
                f"{path}: its column {name!r} ({batch.schema.field(name).type}) has values that "
                f"cannot be copied ({error}): convert it to text"
            ) from None


@contextmanager
def _parquet_file(path: Path, stream: BinaryIO) -> Iterator[Any]:
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(stream) as file:
            yield file
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        why = " ".join(str(error).split())
        raise TableError(f"{path}: is not a Parquet file that pyarrow reads ({why})") from None


@contextmanager
def _parquet_writer(path: Path, columns: Columns) -> Iterator[Write]:
    pyarrow, schema = _pyarrow(), arrow_schema(columns)
    texts = [name for name, kind in columns.items() if kind is Kind.text]
    held: list[Row] = []

    def write(row: Row) -> None:
        cells = {name: None if row.get(name) is None else _cell(row[name]) for name in texts}
        held.append({**row, **cells})
        if len(held) == ROWS_A_GROUP:
            flush()

    def flush() -> None:
        writer.write_batch(pyarrow.RecordBatch.from_pylist(held, schema=schema))
        held.clear()

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        yield write
        if held:
            flush()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DpsError(
            f"Parquet needs pyarrow: {install('parquet')}; or use .csv or .jsonl"
        ) from None
    return pyarrow
