"""Tables of any length, row by row: CSV, JSON lines and Parquet, told by a file's suffix.

- *CSV* (``.csv``): UTF-8, separated by commas, a header line. Every cell is text.
- *JSON lines* (``.jsonl``): UTF-8, one object a line. A key that a line lacks is null.
- *Parquet* (``.parquet``): with the package pyarrow.

A row that cannot be understood is given with its fault, and the rows after it are read on.
"""

from __future__ import annotations

import csv
import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from dps_infer.errors import DpsError, TableError, UsageError
from dps_infer.files.write import atomic_file

MAX_LINE_BYTES = 1 << 20
MAX_COLUMNS = 1000
ROWS_A_GROUP = 4096
"""Rows that are held at a time for Parquet."""

Row = dict[str, Any]
"""Values by column; None where there is none."""

Write = Callable[[Row], None]

OnBytes = Callable[[bytes], object]
"""Called with the bytes of a file in their order, as they are read."""


class Format(str, enum.Enum):
    """How a table is stored."""

    csv = ".csv"
    jsonl = ".jsonl"
    parquet = ".parquet"


class Kind(str, enum.Enum):
    """What a column holds, for formats that have types."""

    text = "text"
    number = "number"
    integer = "integer"
    truth = "truth"


Columns = Mapping[str, "Kind | Any"]
"""What each column holds, in their order: a `Kind`, or a type of pyarrow, in which a Parquet file
keeps what it held."""


@dataclass(frozen=True)
class TableScan:
    """What one pass over a table found.

    Attributes:
        columns: the columns and their kinds, in order; see `Columns`.
        rows: number of rows.
        sha256: of the file's bytes, in hexadecimal.
    """

    columns: dict[str, Kind | Any]
    rows: int
    sha256: str


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
        number: counted from 1, without the header.
        values: what could be read of it.
        fault: why it cannot be used, in one line; empty if it can.
    """

    number: int
    values: Row
    fault: str = ""


def format_of(path: Path) -> Format:
    """Tell a table's format by its suffix.

    Raises:
        UsageError: an unknown suffix.
    """
    try:
        return Format(path.suffix.lower())
    except ValueError:
        known = ", ".join(known.value for known in Format)
        raise UsageError(
            f"{path}: expected a name that ends in one of {known}, got {path.suffix or 'none'}"
        ) from None


def check_format(path: Path) -> Format:
    """Tell a table's format, and make sure that it can be read and written here.

    Raises:
        UsageError: an unknown suffix.
        DpsError: pyarrow is not installed, for Parquet.
    """
    chosen = format_of(path)
    if chosen is Format.parquet:
        _pyarrow()
    return chosen


def read_columns(path: Path) -> dict[str, Kind | Any]:
    """Return the columns of a table: every one that any row has, with what it holds.

    Raises:
        TableError: the file cannot be read or is no such table, or names a column twice.
    """
    chosen = format_of(path)
    with _told(path):
        if chosen is Format.parquet:
            with _parquet_file(path) as file:
                schema = file.schema_arrow
            return _checked(path, schema.names, schema.types)
        if chosen is Format.csv:
            with path.open("rb") as stream:
                return _csv_columns(path, next(_csv_rows(path, stream), None))
        return _json_columns(path, _json_lines(path))[0]


def scan_table(path: Path) -> TableScan:
    """Read a table once for its columns, its number of rows and its hash.

    Raises:
        TableError: the file cannot be read or is no such table, or names a column twice.
    """
    chosen = format_of(path)
    digest = hashlib.sha256()
    with _told(path):
        if chosen is Format.parquet:
            with _parquet_file(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
            columns = _checked(path, schema.names, schema.types)
            _read_blocks(path, digest.update)
        elif chosen is Format.csv:
            with path.open("rb") as stream:
                lines = _csv_rows(path, stream, digest.update)
                columns = _csv_columns(path, next(lines, None))
                rows = sum(1 for _ in lines)
        else:
            columns, rows = _json_columns(path, _json_lines(path, digest.update))
        return TableScan(columns, rows, digest.hexdigest())


def read_lines(path: Path, *, on_bytes: OnBytes | None = None) -> Iterator[Line]:
    """Read a table row by row, in constant memory.

    Args:
        path: the table.
        on_bytes: gets the whole file by the time that the last row has been read. A Parquet
            file, which is not read from front to back, is read a second time for it.

    Raises:
        TableError: the file cannot be read or is no such table.
    """
    chosen = format_of(path)
    with _told(path):
        if chosen is Format.csv:
            yield from _csv_lines(path, on_bytes)
        elif chosen is Format.jsonl:
            yield from _json_lines(path, on_bytes)
        else:
            yield from _parquet_lines(path)
            if on_bytes is not None:
                _read_blocks(path, on_bytes)


@contextmanager
def open_table(path: Path, columns: Columns, *, force: bool = False) -> Iterator[Write]:
    """Give a function that writes a row; the file appears whole when the block succeeds.

    Rows need not have every column. Lists and objects become JSON text where a format or
    a column cannot hold them.

    Args:
        path: its suffix chooses the format.
        columns: in their order.
        force: replace an existing file.

    Raises:
        OutputError: the file exists (without `force`) or cannot be written.
        UsageError: an unknown suffix.
    """
    chosen = check_format(path)
    with atomic_file(path, force=force) as temporary:
        if chosen is Format.csv:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(columns)
                yield lambda row: writer.writerow(_cell(row.get(name)) for name in columns)
        elif chosen is Format.jsonl:
            encoder = msgspec.json.Encoder()
            with temporary.open("wb") as file:
                yield lambda row: _write_line(file, encoder, {c: row.get(c) for c in columns})
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
        Kind.truth: pyarrow.bool_(),
    }
    return pyarrow.schema(
        [(name, types[kind] if isinstance(kind, Kind) else kind) for name, kind in columns.items()]
    )


def _write_line(stream: BinaryIO, encoder: msgspec.json.Encoder, row: Row) -> None:
    stream.write(encoder.encode(row) + b"\n")


def _cell(value: object) -> str:
    """Say a value in a cell of CSV; numbers keep every digit."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# --- CSV ------------------------------------------------------------------------------


def _csv_columns(path: Path, header: list[str] | csv.Error | None) -> dict[str, Kind]:
    """Return the columns that a header line names."""
    if not isinstance(header, list):
        raise TableError(f"{path}: is empty, expected a header line with the columns")
    return _checked(path, header, [Kind.text] * len(header))


def _csv_lines(path: Path, on_bytes: OnBytes | None) -> Iterator[Line]:
    with path.open("rb") as stream:
        rows = _csv_rows(path, stream, on_bytes)
        header = list(_csv_columns(path, next(rows, None)))
        for number, row in enumerate(rows, start=1):
            if isinstance(row, csv.Error):
                yield Line(number, {}, f"row {number} is no CSV ({row})")
                continue
            faults = []
            if len(row) != len(header):
                faults.append(f"row {number} has {len(row)} cells, expected {len(header)}")
            if any(_has_surrogates(cell) for cell in row):
                faults.append(f"row {number} is no UTF-8 text")
                row = [
                    cell.encode(errors="surrogateescape").decode(errors="backslashreplace")
                    for cell in row
                ]
            # A cell that is missing is empty; for one too many there is no column.
            yield Line(number, dict(zip(header, row, strict=False)), "; ".join(faults))


def _csv_rows(
    path: Path, stream: BinaryIO, on_bytes: OnBytes | None = None
) -> Iterator[list[str] | csv.Error]:
    """Yield the rows that are not blank, the header first, or what is wrong with one."""
    lines = _bounded_lines(path, stream, on_bytes)
    text = (line.decode(errors="surrogateescape") for line in lines)
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


# --- JSON lines -----------------------------------------------------------------------


def _json_columns(path: Path, lines: Iterable[Line]) -> tuple[dict[str, Kind], int]:
    """Return every column that any row has, and the number of rows."""
    found: dict[str, Kind | None] = {}
    rows = 0
    for line in lines:
        rows += 1
        for name, value in line.values.items():
            found[name] = _wider(found.get(name), value) if name in found else _kind(value)
        if len(found) > MAX_COLUMNS:
            break
    return _checked(path, list(found), [kind or Kind.text for kind in found.values()]), rows


def _json_lines(path: Path, on_bytes: OnBytes | None = None) -> Iterator[Line]:
    number = 0
    with path.open("rb") as stream:
        for line in _bounded_lines(path, stream, on_bytes):
            if not line.strip():
                continue
            number += 1
            try:
                value = msgspec.json.decode(line)
            except (ValueError, RecursionError) as error:
                yield Line(number, {}, f"row {number} is no JSON ({error})")
                continue
            if isinstance(value, dict):
                yield Line(number, value)
            else:
                yield Line(number, {}, f"row {number} is no JSON object: expected {{...}}")


def _kind(value: object) -> Kind | None:
    """Tell what a value is; None for null, which fits all."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Kind.truth
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Kind.integer
    return Kind.number if isinstance(value, float) else Kind.text


def _wider(kind: Kind | None, value: object) -> Kind | None:
    """Return what holds both a kind and a value."""
    other = _kind(value)
    if kind is None or other is None or kind is other:
        return kind or other
    return Kind.number if {kind, other} == {Kind.integer, Kind.number} else Kind.text


# --- Parquet --------------------------------------------------------------------------


def _parquet_lines(path: Path) -> Iterator[Line]:
    number = 0
    with _parquet_file(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_A_GROUP):
            for values in batch.to_pylist():
                number += 1
                yield Line(number, values)


@contextmanager
def _parquet_file(path: Path) -> Iterator[Any]:
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, ValueError) as error:
        raise TableError(f"{path}: is no Parquet file that pyarrow reads ({error})") from None


@contextmanager
def _parquet_writer(path: Path, columns: Columns) -> Iterator[Write]:
    pyarrow, schema = _pyarrow(), arrow_schema(columns)
    texts = [name for name, kind in columns.items() if kind is Kind.text]
    held: list[Row] = []

    def write(row: Row) -> None:
        held.append({**row, **{n: _text(row.get(n)) for n in texts}})
        if len(held) == ROWS_A_GROUP:
            flush()

    def flush() -> None:
        writer.write_batch(pyarrow.RecordBatch.from_pylist(held, schema=schema))
        held.clear()

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        yield write
        if held:
            flush()


def _text(value: object) -> str | None:
    return None if value is None else _cell(value)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DpsError(
            'Parquet needs pyarrow: run pip install "dps-toolkit[parquet]", or use .csv or .jsonl'
        ) from None
    return pyarrow


# --- all ------------------------------------------------------------------------------


def _read_blocks(path: Path, on_bytes: OnBytes) -> None:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            on_bytes(block)


def _bounded_lines(
    path: Path, stream: BinaryIO, on_bytes: OnBytes | None = None
) -> Iterator[bytes]:
    """Yield lines, without the byte order mark that some programs put before the first."""
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if on_bytes is not None:
            on_bytes(line)
        if len(line) > MAX_LINE_BYTES:
            raise TableError(f"{path}: has a line of more than {MAX_LINE_BYTES} bytes: is no table")
        if first and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError(f"{path}: is UTF-16 text, expected UTF-8: save it as UTF-8")
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


def _checked(path: Path, names: list[str], kinds: list[Any]) -> dict[str, Any]:
    if len(names) > MAX_COLUMNS:
        raise TableError(f"{path}: has more than {MAX_COLUMNS} columns")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise TableError(f"{path}: has the column {twice[0]!r} twice: rename one")
    return dict(zip(names, kinds, strict=True))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise TableError(f"{path}: no such file, expected a table") from None
    except IsADirectoryError:
        raise TableError(f"{path}: is a folder, expected a table") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error})") from None
