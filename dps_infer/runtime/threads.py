"""CPU threads that this process may use, by its affinity and its cgroups."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_threads() -> int:
    """Return how many CPU threads this process may use: its affinity, capped by its cgroups."""
    cores, quota = affinity_cores(), cgroup_cores()
    # A quota of 1.5 cores is best used by two threads, of 0.5 by one.
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def affinity_cores() -> int:
    """Return how many cores this process may be scheduled on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def cgroup_cores(
    membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Return the CPU quota of this process's cgroup and its ancestors, in cores.

    Args:
        membership: the kernel's list of this process's cgroups, version 1 and 2.
        mount: where the cgroup file systems are mounted.

    Returns:
        The smallest quota found, or None where there is none.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if controllers == "":
            roots = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [mount / "cpu", mount / controllers]
        else:
            continue
        # In a container the path may be the host's, with only its end (or the root) mounted.
        relative = Path(inside.lstrip("/"))
        for root in roots:
            for folder in (relative, *relative.parents):
                quota = _quota(root / folder)
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _quota(folder: Path) -> float | None:
    """Read one cgroup's quota in cores, of either version; None for none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        # "max", the way to say that there is none.
        return None
    return cores if cores > 0 else None
