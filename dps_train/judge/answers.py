"""The file of judgements: every answer is on disk before the next question is asked."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import filelock

from dps_infer.errors import DataError, OutputError
from dps_infer.files.write import atomic_file, cannot_write, write_all

if TYPE_CHECKING:
    # They import PyTorch, and the file shall be locked before.
    from dps_train.judge.pool import Picture
    from dps_train.judgements.triplets import Triplets


@dataclass(frozen=True)
class AnswerFile:
    """A growing CSV file of judgements, and the folder of its pictures beside it."""

    path: Path

    @property
    def folder(self) -> Path:
        """The folder of the pictures."""
        return self.path.with_name(f"{self.path.stem}-images")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other judging pages away from the file during the block.

        Raises:
            OutputError: another page has it, or the lock cannot be written.
        """
        path = self.path.with_name(f".{self.path.name}.lock")
        lock = filelock.FileLock(path, blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise OutputError(
                f"{self.path} is being judged on another page: close it, or choose another name"
            ) from None
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()

    def read(self) -> Triplets | None:
        """Return the answers so far; None if there are none.

        Raises:
            DpsError: the file is not as this page would have written it.
        """
        from dps_train.judgements.read_triplets import COLUMNS, read_triplets

        if not self.path.exists() or not self.path.stat().st_size:
            return None
        content = self._content()
        lines = content.decode("utf-8-sig", errors="replace").splitlines()
        if next(csv.reader(lines[:1])) != list(COLUMNS):
            raise DataError(
                [f"{self.path} row 1: expected the columns {','.join(COLUMNS)} in this order"]
            )
        if not content.endswith(b"\n"):
            raise DataError(
                [
                    f"{self.path} row {len(lines)}: does not end with a new line: complete or "
                    "delete this row"
                ]
            )
        return read_triplets(self.path) if len(lines) > 1 else None

    def append(self, pictures: tuple[Picture, Picture, Picture], judge: float) -> None:
        """Add an answer, its pictures first; OutputError if a file cannot be written."""
        from dps_train.judgements.read_triplets import COLUMNS

        for picture in pictures:
            file = self.folder / picture.name
            if not file.exists():
                with atomic_file(file, force=True) as temporary:
                    cv2.imwrite(str(temporary), cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR))
        names = [f"{self.folder.name}/{picture.name}" for picture in pictures]
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size:
            rows.writerow(COLUMNS)
        rows.writerow([*names, f"{judge:g}"])
        self._write(text.getvalue().encode(), size)

    def undo(self) -> None:
        """Remove the last answer; its pictures stay. OutputError if the file cannot be written."""
        content = self._content()
        self._write(b"", content.rstrip(b"\r\n").rindex(b"\n") + 1)

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise OutputError(f"cannot read {self.path}: {error.strerror}") from None

    def _write(self, content: bytes, start: int) -> None:
        """Replace everything from byte `start` on; on failure the file ends at `start`."""
        try:
            # Unbuffered, so that a failure to write shows here.
            with self.path.open("ab", buffering=0) as stream:
                stream.truncate(start)
                try:
                    write_all(stream, content)
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(start)
                    raise
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from None
