"""Tables in the documents, made from the records.

A block begins with ``<!-- table: NAME -->`` and ends with ``<!-- end -->``, each on a line of its
own. NAME is that of a benchmark, with the table's name after a dot where it has several. All
between the two lines is replaced by the table and a line on where its figures come from. As long as
a benchmark has no record, its blocks stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.shared.record import RECORDS, ROOT, Record, read_record, record_path
from benchmarks.shared.suite import modules, record_tables
from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file

BLOCK = re.compile(
    r"^<!-- table: (?P<name>\S+) -->\n(?P<table>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
MARKER = re.compile(r"^<!-- (table: .*|end) -->$", re.MULTILINE)

SHOWN_VERSIONS = ("torch", "onnxruntime", "onnxruntime-gpu")
COMMIT_DIGITS = 7


class DocumentError(DpsError):
    """A document whose blocks cannot be filled, or are not up to date."""


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents that may hold blocks."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def block_names(text: str) -> list[str]:
    """Return the names of the tables that a document shows."""
    return [match["name"] for match in BLOCK.finditer(text)]


def update(paths: list[Path], *, check: bool, records: Path = RECORDS) -> list[str]:
    """Fill the blocks of documents.

    Args:
        paths: of the documents.
        check: change no file.
        records: folder of the records.

    Returns:
        The names of the documents that were changed, or with `check` would be.

    Raises:
        DocumentError: a block names no table, or does not end.
        RecordError: a record cannot be read.
    """
    changed = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        filled = fill(text, path.name, records)
        if filled == text:
            continue
        changed.append(path.name)
        if not check:
            with atomic_file(path, force=True) as temporary:
                temporary.write_text(filled, encoding="utf-8")
    return changed


def fill(text: str, document: str, records: Path) -> str:
    """Return a document's text with every block filled.

    Args:
        text: the document.
        document: its name, for messages.
        records: folder of the records.

    Raises:
        DocumentError: a block names no table, or does not end.
    """
    if 2 * len(block_names(text)) != len(MARKER.findall(text)):
        raise DocumentError(
            f"{document}: a `<!-- table: NAME -->` without its `<!-- end -->`, or the reverse"
        )
    try:
        return BLOCK.sub(
            lambda match: _block(
                match["name"], render(match["name"], records, current=match["table"])
            ),
            text,
        )
    except DocumentError as error:
        raise DocumentError(f"{document}: {error}") from None


def render(name: str, records: Path, current: str = "") -> str:
    """Return the content of a block: a table and its source.

    Without a record, this is the current content, or a line with the command to run.

    Args:
        name: of the table.
        records: folder of the records.
        current: content of the block so far.

    Raises:
        DocumentError: there is no such table.
    """
    benchmark = name.partition(".")[0]
    if benchmark not in modules():
        raise DocumentError(f"no benchmark {benchmark!r}: expected {', '.join(modules())}")
    path = record_path(benchmark, records)
    if not path.is_file():
        return current.strip() or f"Not measured yet: `python -m benchmarks {benchmark}`"
    record = read_record(path)
    tables = record_tables(record)
    if name not in tables:
        raise DocumentError(f"no table {name!r}: expected {', '.join(tables)}")
    return f"{tables[name].markdown()}\n\n{source(record)}"


def source(record: Record) -> str:
    """Say in one line where the figures of a record come from."""
    machine = record.machine
    threads = f"{machine.threads} thread{'s' * (machine.threads > 1)}"
    packages = [f"{p} {record.versions[p]}" for p in SHOWN_VERSIONS if p in record.versions]
    versions = ", ".join([f"Python {machine.python}", *packages])
    commit = "no commit" if record.commit is None else f"commit {record.commit[:COMMIT_DIGITS]}"
    changed = " with changes" if record.clean is False else ""
    return (
        f"{machine.processor}, {threads}; {versions}; {commit}{changed}, {record.date[:10]}: "
        f"`{record.command}`"
    )


def _block(name: str, content: str) -> str:
    # Blank lines: Markdown takes no table right after HTML.
    return f"<!-- table: {name} -->\n\n{content}\n\n<!-- end -->"
