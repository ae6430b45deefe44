"""Time and memory of the loss on the CPU, per megapixel: forward and backward.

Each row runs in a process of its own. Memory is what the peak of the process grows by, from a step
with a small image to one with the whole; time is the best of some steps. Needs Linux for memory.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer

from benchmarks.shared.loss_steps import MODES, image_pair, loss_of, seconds_of_step
from benchmarks.shared.options import SeedOption, ThreadsOption
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table

STEPS = 3
SMALL = 64


class Cost(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a step costs with one image of the benchmark's side.

    Attributes:
        mode: which loss.
        seconds: of a step, per megapixel.
        mebibytes: of memory, per megapixel.
    """

    mode: str
    seconds: float
    mebibytes: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The cost of each loss, for images of `side` x `side` pixels."""

    side: int
    costs: list[Cost]


def measure(
    side: Annotated[int, typer.Option(min=128, help="Side of the image in pixels.")] = 1024,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Measure each loss."""
    costs = []
    for mode in MODES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            costs.append(pool.submit(cost, mode, side, threads, seed).result())
    return Measured(Figures(side=side, costs=costs), {})


def cost(mode: str, side: int, threads: int, seed: int) -> Cost:
    """Measure a loss in this process."""
    torch.set_num_threads(threads)
    loss, images = loss_of(mode), image_pair(1, side, seed)
    seconds_of_step(loss, *image_pair(1, SMALL, seed))
    before = _start_of_peak()
    seconds = min(seconds_of_step(loss, *images) for _ in range(STEPS))
    megapixels = side**2 / 1e6
    return Cost(mode=mode, seconds=seconds / megapixels, mebibytes=(_peak() - before) / megapixels)


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table."""
    rows = [(one.mode, f"{one.seconds:.1f}", f"{one.mebibytes:.0f}") for one in figures.costs]
    return {
        "": Table(
            ("loss", "seconds", "MiB"),
            rows,
            f"a step with {figures.side} x {figures.side} pixels, per megapixel",
        )
    }


def _start_of_peak() -> float:
    """Begin a new peak of this process; return the memory that it has now, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    """Return one of the kernel's figures on the memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
