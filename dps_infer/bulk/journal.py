"""The results so far of a run that may be killed at any moment, in a file beside its output.

The journal of ``results.csv`` is ``results.csv.part``: text, one JSON object per line. The first
line identifies the run (`Identity`); each line after it is the result of the next pair, without
the columns of the input. A line is valid only with its line break, and only whole batches are
reused, so that a resumed run has the same batches as an uninterrupted one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from dps_infer.errors import OutputError
from dps_infer.files.lock import try_lock
from dps_infer.files.tables import Row
from dps_infer.files.write import cannot_write, write_all

FORMAT = 3
SUFFIX = ".part"
RESUME = "the same command with --resume continues"


class Identity(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines the results of a run; only an identical run is resumed."""

    format: int = FORMAT
    pairs: str
    """SHA-256 of the file of pairs."""
    folder: str
    """The folder that its relative paths start from."""
    rows: int
    contexts: dict[str, dict[str, Any]]
    """By label: SHA-256 of the context file, importances, and execution provider."""
    resize: bool
    ignored: str = ""
    """What is left out of every pair."""
    batch_size: int


_WORDS = {
    "format": "the version of dps-infer",
    "pairs": "the file of pairs",
    "folder": "the folder of the file of pairs",
    "rows": "the number of pairs",
    "contexts": "the contexts, or what they are computed on",
    "resize": "--resize",
    "ignored": "--ignore or --mask",
    "batch_size": "--batch-size",
}


class Journal:
    """A journal that is open for writing, locked by this process.

    Attributes:
        path: the file.
        done: number of results in it.
    """

    def __init__(self, path: Path, stream: io.FileIO, done: int) -> None:
        self.path = path
        self.done = done
        # Unbuffered: whatever cannot be written fails in `append`, and never when it is closed.
        self._stream = stream

    def append(self, rows: Sequence[Row]) -> None:
        """Add the results of one batch.

        Raises:
            OutputError: it cannot be written.
        """
        self._write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        self.done += len(rows)

    def start(self, identity: Identity) -> None:
        """Drop everything in it, and identify the run.

        Raises:
            OutputError: it cannot be written.
        """
        self._stream.truncate(0)
        self._write(msgspec.json.encode(identity) + b"\n")

    def rows(self) -> Iterator[Row]:
        """Read all results, the first one first."""
        with self.path.open("rb") as stream:
            next(stream)
            for line in stream:
                yield msgspec.json.decode(line)

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._stream, data)
        except OSError as error:
            raise OutputError(f"{cannot_write(self.path, error)}; {RESUME}") from None


def journal_path(output: Path) -> Path:
    """Return the path of the journal of an output."""
    return output.with_name(output.name + SUFFIX)


@contextmanager
def open_journal(
    output: Path, identity: Identity, *, resume: bool = False, force: bool = False
) -> Iterator[Journal]:
    """Open the journal of an output: a new one, or the one of an interrupted run.

    Args:
        output: the output of the run.
        identity: the identity of the run.
        resume: continue where the journal ends; start a new one if there is none.
        force: start a new one even if there is one.

    Raises:
        OutputError: a journal exists without `resume` or `force`, it is of another run, another
            process is writing it, or it cannot be written.
    """
    path = journal_path(output)
    if path.exists() and not (resume or force):
        raise OutputError(
            f"{path} is of a run that did not finish: pass --resume to continue it, or --force "
            "to start over"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened for appending, which truncates nothing: another process may be writing it.
        stream = io.FileIO(path, "a")
    except OSError as error:
        raise cannot_write(path, error) from None
    with stream:
        if not try_lock(stream.fileno()):
            raise OutputError(f"another run is writing {path}: wait for it, or end it")
        with path.open("rb") as written:
            header = written.readline()
            if resume and header.endswith(b"\n"):
                _check(path, header, identity)
                done, end = _whole_batches(written, identity.batch_size)
                stream.truncate(end)
                yield Journal(path, stream, done)
                return
        journal = Journal(path, stream, 0)
        journal.start(identity)
        yield journal


def _check(path: Path, header: bytes, identity: Identity) -> None:
    """Refuse a journal of another run."""
    found: Any = None
    with suppress(ValueError):
        found = msgspec.json.decode(header)
    if not isinstance(found, dict) or "format" not in found:
        raise OutputError(f"{path} is not a journal of dps-infer: move it away, or pass --force")
    expected = msgspec.to_builtins(identity)
    changed = [words for name, words in _WORDS.items() if found.get(name) != expected[name]]
    if changed:
        raise OutputError(
            f"{path} is of another run, the difference is: {', '.join(changed)}; repeat the "
            "command of that run, or pass --force to start over"
        )


def _whole_batches(stream: io.BufferedReader, batch_size: int) -> tuple[int, int]:
    """Return how many results can be reused, and the position where the last of them ends."""
    done, end = 0, stream.tell()
    position = end
    for count, line in enumerate(stream, start=1):
        # After a power failure, the end of a file may hold arbitrary bytes.
        try:
            msgspec.json.decode(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        position += len(line)
        if count % batch_size == 0:
            done, end = count, position
    return done, end


def discard(journal: Journal) -> None:
    """Remove the journal of a run whose output is written."""
    with suppress(OSError):
        os.unlink(journal.path)
