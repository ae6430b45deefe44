"""Processes that torchrun started, on one machine or several: all run the same command."""

from __future__ import annotations

import os
from dataclasses import dataclass

from dps_infer.errors import UsageError

STARTED = "TORCHELASTIC_RUN_ID"
"""Environment variable by which a process knows that torchrun started it."""


class FollowerDoneError(Exception):
    """Ends a process whose share of a training is done; the first one measures and writes."""


@dataclass(frozen=True)
class Launch:
    """What torchrun started.

    Attributes:
        machines: their number.
        each: processes on each.
    """

    machines: int
    each: int

    @property
    def processes(self) -> int:
        """Their number on all machines."""
        return self.machines * self.each


def torchrun_launch() -> Launch | None:
    """Return what torchrun started; None if it did not start this process."""
    if STARTED not in os.environ:
        return None
    each = int(os.environ["LOCAL_WORLD_SIZE"])
    return Launch(int(os.environ["WORLD_SIZE"]) // each, each)


def check_launch(*, end_to_end: bool, devices: int) -> None:
    """Refuse options that do not go with torchrun.

    Raises:
        UsageError: the variant trains in one process, or the number of devices is another one.
    """
    launch = torchrun_launch()
    if launch is None:
        return
    if not end_to_end:
        raise UsageError(
            "torchrun is for --variant tune and scratch: run the others as one process"
        )
    if devices not in (1, launch.processes):
        raise UsageError(
            f"torchrun started {launch.processes} processes, and --devices is {devices}: leave "
            "--devices out"
        )
