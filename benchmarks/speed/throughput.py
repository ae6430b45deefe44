"""Pairs a second on one core, and peak memory, beside the `lpips` package.

Both sides read the same PNG files of 256 x 256 pixels, use the same SqueezeNet trunk and compute
on one thread. They run alternately, so that other work on the machine slows both alike, and CPU
time counts: pairs a second on one core. The head of our SqueezeNet metric is trained only briefly;
speed does not depend on its weights. Needs `pip install lpips`, and Linux for the memory.

Then one reference is compared with many candidates, and the cost given as a share of the cost of
as many pairs, again from files and alternately: the reference is decoded and its features computed
only once.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import cv2
import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.shared.lpips_squeeze import lpips_squeeze
from benchmarks.shared.options import SeedOption, WeightsOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table

SIDE = 256
MOST_FILES = 500
"""Different pairs; beyond that they repeat, never one twice in a row."""
RANKING = "color,translate,zoom,rotate,darken,blur"
TURN = 48
"""Pairs that one side scores before the next one runs."""
SHARING_TURNS = 5
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""The C library's numbers for settings of its allocator."""
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket")
EMBEDDED, SQUEEZENET, LPIPS = "embedded", "SqueezeNet 1.1", "lpips, SqueezeNet 1.1"

Pixels = NDArray[np.uint8]
Paths = list[tuple[Path, Path]]
Side = Callable[[Paths], None]


class Speed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Pairs a second of CPU time."""

    metric: str
    rate: float


class Sharing(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Cost of one reference with all candidates, as a share of as many separate pairs."""

    metric: str
    share: float


class Memory(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Peak memory of a process that scores pairs, in MiB."""

    metric: str
    pairs: int
    mebibytes: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Speed, sharing of a reference, and memory."""

    pairs: int
    candidates: int
    speed: list[Speed]
    sharing: list[Sharing]
    memory: list[Memory]


def measure(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs to time.")] = 2000,
    memory: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Pairs to measure memory at.  [default: 500 and 5000]"),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, help="Candidates of one reference to time.")
    ] = 64,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
) -> Measured:
    """Time both sides; without `weights`, the trunk is random."""
    _keep_freed_memory()
    inputs = {} if weights is None else {"weights": file_input(weights)}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write_pairs(base, min(max(pairs, candidates), MOST_FILES), seed)
        trunk = weights or random_weights(base / "random.safetensors", seed)
        context = _make_context(base, trunk)
        figures = Figures(
            pairs=pairs,
            candidates=candidates,
            speed=speed(list(islice(pairs_in(base), pairs)), context, trunk),
            sharing=sharing(list(islice(pairs_in(base), candidates)), context),
            memory=[
                Memory(metric=name, pairs=count, mebibytes=_in_new_process(base, count, file))
                for name, file in ((SQUEEZENET, context), (EMBEDDED, None))
                for count in memory or (500, 5000)
            ],
        )
    return Measured(figures, inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table for the speed, one for sharing a reference, one for the memory."""
    (peer,) = (row.rate for row in figures.speed if row.metric == LPIPS)
    speeds = [(row.metric, f"{row.rate:.0f}", f"{row.rate / peer:.1f}") for row in figures.speed]
    shares = [(row.metric, f"{row.share:.2f}") for row in figures.sharing]
    memory = [(row.metric, f"{row.pairs}", f"{row.mebibytes:.0f}") for row in figures.memory]
    return {
        "speed": Table(
            ("metric", "pairs a second", "times lpips"),
            speeds,
            f"{figures.pairs} pairs of {SIDE} x {SIDE} pixels, one core",
        ),
        "sharing": Table(
            ("metric", f"share of the cost of {figures.candidates} pairs"),
            shares,
            f"one reference, {figures.candidates} candidates",
        ),
        "memory": Table(("metric", "pairs", "peak memory, MiB"), memory),
    }


def speed(paths: Paths, context: Path, trunk: Path) -> list[Speed]:
    """Time every side alternately; the first turn of each, which allocates, does not count."""
    sides = {LPIPS: lpips_squeeze(trunk), **_our_sides(context)}
    seconds = dict.fromkeys(sides, 0.0)
    for side in sides.values():
        side(paths[:TURN])
    for start in range(0, len(paths), TURN):
        for name, side in sides.items():
            begun = time.process_time()
            side(paths[start : start + TURN])
            seconds[name] += time.process_time() - begun
    return [Speed(metric=name, rate=len(paths) / spent) for name, spent in seconds.items()]


def sharing(paths: Paths, context: Path) -> list[Sharing]:
    """Time one reference with all candidates and as many pairs alternately."""
    reference, _ = paths[0]
    tasks = {"pairs": paths, "shared": [(reference, candidate) for _, candidate in paths]}
    rows = []
    for name, side in _our_sides(context).items():
        seconds = dict.fromkeys(tasks, 0.0)
        for turn in range(SHARING_TURNS + 1):
            for task, some in tasks.items():
                begun = time.process_time()
                side(some)
                # The first turn allocates, and does not count.
                seconds[task] += (time.process_time() - begun) * bool(turn)
        rows.append(Sharing(metric=name, share=seconds["shared"] / seconds["pairs"]))
    return rows


def our_side(context: Path | None, threads: int = 1) -> Side:
    """Return a function that scores pairs with a context file; None takes the embedded metric."""
    from dps_infer import Metric
    from dps_infer.compare.stream import score

    if context is None:
        loaded = Metric.universal(ranking=RANKING, device="cpu", threads=threads)
    else:
        loaded = Metric.load(context, device="cpu", threads=threads)

    def run(paths: Paths) -> None:
        for scored in score(paths, {"": loaded}, decoders=1):
            if scored.error:
                raise RuntimeError(scored.error)

    return run


def write_pairs(folder: Path, count: int, seed: int) -> None:
    """Write patches of photographs, and of each a copy that is blurred, noisy or darker."""
    from skimage import data

    generator = np.random.default_rng(seed)
    photographs = [getattr(data, name)() for name in PHOTOGRAPHS]
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (generator.integers(0, side - SIDE) for side in photograph.shape[:2])
        patch = np.ascontiguousarray(photograph[top : top + SIDE, left : left + SIDE, ::-1])
        cv2.imwrite(str(folder / f"{number}-reference.png"), patch)
        cv2.imwrite(str(folder / f"{number}-candidate.png"), _changed(patch, number, generator))


def pairs_in(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the pairs in a folder, again and again."""
    for reference in cycle(sorted(folder.glob("*-reference.png"))):
        yield reference, reference.with_name(reference.name.replace("reference", "candidate"))


def peak_memory(folder: Path, count: int, context: Path | None) -> float:
    """Score pairs of a folder, and return the peak memory of this process in MiB."""
    our_side(context)(list(islice(pairs_in(folder), count)))
    # Linux. getrusage would give the parent's peak, where that is larger.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _in_new_process(folder: Path, count: int, context: Path | None) -> float:
    # A forked process would begin with this one's memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_memory, folder, count, context).result()


def _our_sides(context: Path) -> dict[str, Side]:
    return {SQUEEZENET: our_side(context), EMBEDDED: our_side(None)}


def _keep_freed_memory() -> None:
    """Let this process keep the memory that it frees.

    By default the C library sometimes returns PyTorch's large blocks to the system and fetches
    them again, which by chance makes `lpips` half as slow again. onnxruntime keeps its own memory.
    """
    library = ctypes.CDLL(None)
    library.mallopt(MMAP_THRESHOLD, 1 << 25)
    library.mallopt(TRIM_THRESHOLD, 1 << 30)


def _make_context(folder: Path, trunk: Path) -> Path:
    """Train briefly and export, as a user would."""
    run, output = folder / "run", folder / "squeezenet.onnx"
    options = ("--backbone", "squeezenet1_1", "--weights", trunk, "--ranking", RANKING)
    short = ("--pairs", 200, "--epochs", 1, "--device", "cpu", "--json")
    _call("dps_train.cli", *options, *short, "--out", run)
    _call("dps_export.cli", run, "--output", output)
    return output


def _call(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def random_weights(path: Path, seed: int) -> Path:
    """Write random weights of SqueezeNet 1.1."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    torch.manual_seed(seed)
    save_file(dict(squeezenet1_1(weights=None).state_dict()), path)
    return path


def _changed(patch: Pixels, number: int, generator: np.random.Generator) -> Pixels:
    if number % 3 == 0:
        return np.asarray(cv2.GaussianBlur(patch, (0, 0), generator.uniform(0.5, 3)), np.uint8)
    if number % 3 == 1:
        noisy = patch + generator.normal(0, generator.uniform(1, 12), patch.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    return (patch * generator.uniform(0.4, 0.95)).astype(np.uint8)
