"""Memory that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARE_OF_RUNS = 0.5
"""Largest share of that memory that runs of context files from strangers may take."""

_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Files of a container's memory limit, in versions 2 and 1 of cgroups."""


def memory_for_runs(mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return how many bytes the runs of a stranger's context file may take in this process.

    Args:
        mount: where the cgroup file systems are mounted.

    Returns:
        `SHARE_OF_RUNS` of the machine's memory, or of the container's if that has less; None where
        the system does not tell.
    """
    known = []
    with suppress(AttributeError, ValueError, OSError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in _LIMITS:
        # The file holds "max" where there is no limit.
        with suppress(OSError, ValueError):
            known.append(int((mount / name).read_text()))
    known = [size for size in known if size > 0]
    return int(SHARE_OF_RUNS * min(known)) if known else None
