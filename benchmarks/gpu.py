"""Whether CUDA measures what the CPU does, and how fast: the check for a GPU machine.

    python benchmarks/gpu.py

It measures pairs of photographs with the context file that comes with the package, or another
one, on the CPU and on CUDA, and ends with exit code 1 if they disagree. Then it times both on
batches of 16 pairs, and on batches of 1 to 16 pairs of two sizes in turn, as folders have them:
on CUDA with and without batches that are filled up and inputs and outputs that are bound
(`dps_infer.runtime.cuda`). Images are decoded before. Without CUDA it says so in one line and
leaves with the exit code of every command that was asked for it in vain.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skimage import data

from dps_infer.commands.shared.run import run
from dps_infer.doctor import AGREEMENT
from dps_infer.errors import DeviceError
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMPORTANCE
from dps_infer.runtime.cuda import Feeding
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine

NAME = "gpu"
BATCH = 16
SIDES = (256, 200)
COMPARED = 8
"""Batches that are compared; all are timed."""
FETCHES = ["distance", "amounts"]
SMALLEST = 1e-3
"""Of distances: below it a relative difference says nothing."""

Pixels = NDArray[np.uint8]
Batch = dict[str, NDArray[Any]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs that are timed, about.")] = 512,
    context: Annotated[Path, typer.Option(help="Another context file.")] = embedded.UNIVERSAL,
) -> None:
    """Check CUDA against the CPU, and time both."""
    model = read_context_file(context).model
    before = memory_used()
    cuda = open_engine(model, device=Device.cuda)
    cpu = open_engine(model, device=Device.cpu)
    workloads = {"even": list(even(pairs)), "uneven": list(uneven(pairs))}
    parity = {name: disagreement(cpu, cuda, batches) for name, batches in workloads.items()}
    table = Table("device", "filled", "bound", *(f"{name}, pairs/s" for name in workloads))
    table.add_row("CPU", "", "", *(f"{rate(cpu, batches):.1f}" for batches in workloads.values()))
    for filled in (False, True):
        for bound in (False, True):
            cuda.feeding = Feeding(filled=filled, bound_to="cuda" if bound else None)
            rates = [f"{rate(cuda, batches):.1f}" for batches in workloads.values()]
            table.add_row("CUDA", *("yes" if on else "no" for on in (filled, bound)), *rates)
    Console().print(table)
    if before is not None:
        print(f"memory of the GPU taken: {(memory_used() or 0) - before} MiB")
    for name, difference in parity.items():
        print(f"{name}: distances of CUDA and the CPU differ by at most {difference:.2g}")
    if not np.max(list(parity.values())) <= AGREEMENT:
        raise DeviceError(f"CUDA measures something else than the CPU: expected {AGREEMENT:g}")


def even(pairs: int) -> Iterator[Batch]:
    """Yield batches of equal shapes."""
    for number in range(max(1, pairs // BATCH)):
        yield batch(number, BATCH, SIDES[0])


def uneven(pairs: int) -> Iterator[Batch]:
    """Yield batches of 1 to `BATCH` pairs, of two sizes in turn."""
    generator = np.random.default_rng(0)
    number, left = 0, pairs
    while left > 0:
        count = min(left, int(generator.integers(1, BATCH + 1)))
        yield batch(number, count, SIDES[number % len(SIDES)])
        number, left = number + 1, left - count


def batch(seed: int, count: int, side: int) -> Batch:
    """Cut patches out of photographs; their copies are blurred, noisy, darker, or the same."""
    generator = np.random.default_rng(seed)
    photographs = [getattr(data, name)() for name in ("astronaut", "cat", "coffee")]
    references, copies = [], []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (generator.integers(0, length - side) for length in photograph.shape[:2])
        patch = np.ascontiguousarray(photograph[top : top + side, left : left + side])
        references.append(patch)
        copies.append(changed(patch, number, generator))
    return {
        "reference": np.stack(references),
        "distorted": np.stack(copies),
        IMPORTANCE: np.ones(7, np.float32),
    }


def changed(patch: Pixels, number: int, generator: np.random.Generator) -> Pixels:
    kinds = (
        cv2.GaussianBlur(patch, (0, 0), generator.uniform(0.5, 3)),
        np.clip(patch + generator.normal(0, 6, patch.shape), 0, 255),
        patch * generator.uniform(0.4, 0.95),
        patch,
    )
    return np.asarray(kinds[number % len(kinds)]).astype(np.uint8)


def disagreement(cpu: Engine, cuda: Engine, batches: list[Batch]) -> float:
    """Return the largest relative difference of two distances."""
    differences = []
    for feeds in batches[:COMPARED]:
        expected, found = (measured(engine, feeds)["distance"] for engine in (cpu, cuda))
        differences.append(np.max(np.abs(found - expected) / np.maximum(expected, SMALLEST)))
    # NumPy's maximum keeps a NaN, and no NaN is within a tolerance.
    return float(np.max(differences))


def rate(engine: Engine, batches: list[Batch]) -> float:
    """Return pairs a second; what the first of the batches set up does not count."""
    for feeds in batches[: len(SIDES)]:
        measured(engine, feeds)
    begun = time.perf_counter()
    for feeds in batches:
        measured(engine, feeds)
    return sum(len(feeds["distorted"]) for feeds in batches) / (time.perf_counter() - begun)


def measured(engine: Engine, feeds: Batch) -> dict[str, NDArray[np.float32]]:
    wanted = {name: feed for name, feed in feeds.items() if name in engine.inputs}
    return engine.run(FETCHES, wanted, alone=True)


def memory_used() -> int | None:
    """Return the MiB in use on the first GPU, by anyone; None without its tool."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "-i", "0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.returncode == 0 else None


if __name__ == "__main__":
    run(app, NAME)
