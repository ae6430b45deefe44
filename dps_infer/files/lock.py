"""Locks on open files and folders. They end with the process that holds them, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

with suppress(ImportError):
    import fcntl

HAS_LOCKS = "fcntl" in globals()
"""Whether the system has these locks; Windows does not."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder against other processes; False if another one has locked it.

    Where the system or the file system has no locks, nothing is locked, and the answer is True.
    """
    return _lock(descriptor) is not False


@contextmanager
def if_unlocked(path: Path) -> Iterator[bool]:
    """Lock a file or folder for the block; False if it is locked, or its locks cannot be seen.

    Raises:
        OSError: it cannot be opened.
    """
    if not HAS_LOCKS:
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _lock(descriptor) is True
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Return whether an open file or folder could be locked; None where there are no locks."""
    if not HAS_LOCKS:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems do not support locks.
        return None
    return True
