"""Wall time of a large pair of images, and of a fresh process, beside the `lpips` package.

Both sides read the same PNG files on two threads, with the same SqueezeNet trunk for `lpips`, and
run alternately, so that other work on the machine slows both alike. A fresh process compares one
pair of 256 x 256 pixels from start to end: ours is ``dps-infer compare``. Needs
`pip install lpips`, and Linux for the memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import cv2
import msgspec
import numpy as np
import typer

from benchmarks.shared.lpips_squeeze import Paths, lpips_squeeze
from benchmarks.shared.options import SeedOption, WeightsOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from benchmarks.speed.throughput import our_side, random_weights, write_pairs

THREADS = 2
LARGE = (1080, 1920)
RANKING = "color,translate,zoom,rotate,darken,blur"
OURS, LPIPS = "embedded", "lpips, SqueezeNet 1.1"
T = TypeVar("T")

LAUNCHER = Path(__file__).parents[1] / "shared" / "measure_process.py"


class Times(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Median seconds of a large pair and of a fresh process, and the latter's peak memory."""

    metric: str
    large_seconds: float
    start_seconds: float
    start_bytes: int


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """A row for each metric."""

    times: list[Times]


class Process(NamedTuple):
    """What a fresh process took."""

    seconds: float
    bytes: int


def measure(
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each side.")] = 7,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
) -> Measured:
    """Time both sides; without `weights`, the trunk is random."""
    inputs = {} if weights is None else {"weights": file_input(weights)}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        trunk = weights or random_weights(base / "random.safetensors", seed)
        write_pairs(base, 1, seed)
        small = base / "0-reference.png", base / "0-candidate.png"
        large = _large_pair(base, small)
        commands = {
            OURS: ["-m", "dps_infer.cli", "compare", *small, "--ranking", RANKING],
            LPIPS: ["-m", "benchmarks.shared.lpips_squeeze", trunk, *small],
        }
        sides = {OURS: our_side(None, THREADS), LPIPS: lpips_squeeze(trunk, THREADS)}
        large_runs = {name: partial(_seconds, side, [large]) for name, side in sides.items()}
        pairs = _alternately(rounds, large_runs)
        starts = _alternately(rounds, {name: partial(_process, c) for name, c in commands.items()})
    times = [
        Times(
            metric=name,
            large_seconds=statistics.median(pairs[name]),
            start_seconds=statistics.median(one.seconds for one in starts[name]),
            start_bytes=round(statistics.median(one.bytes for one in starts[name])),
        )
        for name in sides
    ]
    return Measured(Figures(times), inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return the medians, and each as a share of that of `lpips`."""
    (peer,) = (row for row in figures.times if row.metric == LPIPS)
    columns = ("metric", "1920 x 1080 pair, s", "fresh process, s", "its peak memory, MiB")
    rows = [
        (
            row.metric,
            f"{row.large_seconds:.2f} ({row.large_seconds / peer.large_seconds:.2f})",
            f"{row.start_seconds:.2f} ({row.start_seconds / peer.start_seconds:.2f})",
            f"{row.start_bytes / 2**20:.0f} ({row.start_bytes / peer.start_bytes:.2f})",
        )
        for row in figures.times
    ]
    return {"": Table(columns, rows, f"medians, {THREADS} threads; in brackets: share of `lpips`")}


def _alternately(rounds: int, sides: dict[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run every side in turn; the first turn, which allocates and fills caches, does not count."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(1 + rounds):
        for name, side in sides.items():
            found[name].append(side())
    return {name: values[1:] for name, values in found.items()}


def _seconds(side: Callable[[Paths], None], pairs: Paths) -> float:
    begun = time.perf_counter()
    side(pairs)
    return time.perf_counter() - begun


def _process(arguments: list[str | Path]) -> Process:
    command = [sys.executable, LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # The command prints its own result first.
    return Process(**json.loads(done.stdout.splitlines()[-1]))


def _large_pair(folder: Path, small: tuple[Path, Path]) -> tuple[Path, Path]:
    """Write both images of a pair at full HD."""
    paths = folder / "large-reference.png", folder / "large-candidate.png"
    for source, path in zip(small, paths, strict=True):
        pixels = cv2.imread(str(source))
        assert pixels is not None
        repeats = [-(-side // own) for side, own in zip(LARGE, pixels.shape, strict=False)]
        tiled = np.tile(pixels, (*repeats, 1))[: LARGE[0], : LARGE[1]]
        cv2.imwrite(str(path), tiled)
    return paths
