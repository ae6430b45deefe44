"""Reading whole files that somebody else made: bounded, and with one clear line when it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dps_infer.errors import DpsError

MEBIBYTE = 1 << 20


def read_bytes(
    path: str | os.PathLike[str], *, expected: str, limit: int, error: type[DpsError]
) -> bytes:
    """Read a file of at most `limit` bytes.

    Args:
        path: the file; pipes are read too.
        expected: what the file should be, for messages: "an image".
        limit: the largest size accepted, in bytes. No more than that is ever held.
        error: what to raise.

    Raises:
        DpsError: as `error`, naming the file: it is missing, a folder, not readable, empty
            or too big.
    """
    label = os.fspath(path)
    try:
        with Path(path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise error(_too_big(label, expected, limit))
            # A pipe or a device states no size: it is read up to the limit.
            data = stream.read(limit + 1)
            if not data and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise error(f"{label}: the file is empty, expected {expected}")
    except FileNotFoundError:
        raise error(f"{label}: no such file, expected {expected}") from None
    except IsADirectoryError:
        raise error(f"{label}: is a folder, expected {expected}") from None
    except PermissionError:
        # Opening a folder is a permission error where folders cannot be opened at all.
        if Path(path).is_dir():
            raise error(f"{label}: is a folder, expected {expected}") from None
        raise error(f"{label}: no permission to read it: change its permissions") from None
    except (OSError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or reason
        raise error(f"{label}: cannot be read ({why}), expected {expected}") from None
    if not data:
        raise error(f"{label}: nothing could be read from it, expected {expected}")
    if len(data) > limit:
        raise error(_too_big(label, expected, limit))
    return data


def _too_big(label: str, expected: str, limit: int) -> str:
    return f"{label}: is too big, expected {expected} of at most {limit // MEBIBYTE} MiB"
