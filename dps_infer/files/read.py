"""Read files made by others: bounded in size, and with one clear line for each failure."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dps_infer.errors import DpsError

MEBIBYTE = 1 << 20


@contextmanager
def open_input(
    path: str | os.PathLike[str], *, expected: str, error: type[DpsError], regular: bool = False
) -> Iterator[BinaryIO]:
    """Open a file for reading, and explain failures to open or read it in one line.

    Args:
        path: the file; pipes are read too.
        expected: the expected content, for messages: "an image".
        error: the error to raise.
        regular: refuse pipes and devices, which may never end.

    Raises:
        DpsError: as `error`, naming the file: it is missing, a folder or not readable.
    """
    try:
        with _open_at_once(path) if regular else Path(path).open("rb") as stream:
            if regular and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise error(
                    f"{os.fspath(path)}: is a pipe or a device, expected {expected}: save it as a "
                    "file first"
                )
            yield stream
    except FileNotFoundError:
        raise error(f"{os.fspath(path)}: no such file, expected {expected}") from None
    except (OSError, ValueError) as reason:
        # Where folders cannot be opened at all, opening one is a permission error.
        if isinstance(reason, IsADirectoryError) or (
            isinstance(reason, PermissionError) and Path(path).is_dir()
        ):
            message = f"is a folder, expected {expected}"
        elif isinstance(reason, PermissionError):
            message = "no permission to read it: change its permissions"
        else:
            why = getattr(reason, "strerror", None) or reason
            message = f"cannot be read ({why}), expected {expected}"
        raise error(f"{os.fspath(path)}: {message}") from None


def _open_at_once(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; a pipe without waiting for its writer."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _DO_NOT_WAIT)
    try:
        return os.fdopen(descriptor, "rb")
    except OSError:  # a folder
        os.close(descriptor)
        raise


_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)


def read_bytes(
    path: str | os.PathLike[str],
    *,
    expected: str,
    limit: int,
    error: type[DpsError],
    regular: bool = False,
) -> bytes:
    """Read a file of at most `limit` bytes.

    Args:
        path: the file; pipes are read too.
        expected: the expected content, for messages: "an image".
        limit: the largest accepted size in bytes. No more than that is ever held.
        error: the error to raise.
        regular: refuse pipes and devices.

    Raises:
        DpsError: as `error`, naming the file: it is missing, a folder, not readable, empty or too
            big.
    """
    label = os.fspath(path)
    with open_input(path, expected=expected, error=error, regular=regular) as stream:
        status = os.fstat(stream.fileno())
        # A pipe or a device has no size: it is read up to the limit.
        data = b"" if status.st_size > limit else stream.read(limit + 1)
    if status.st_size > limit or len(data) > limit:
        raise error(f"{label}: is too big, expected {expected} of at most {limit // MEBIBYTE} MiB")
    if not data and stat.S_ISREG(status.st_mode):
        raise error(f"{label}: the file is empty, expected {expected}")
    if not data:
        raise error(f"{label}: nothing could be read from it, expected {expected}")
    return data
