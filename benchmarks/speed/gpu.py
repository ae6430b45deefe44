"""CUDA beside the CPU: whether both measure the same, and pairs a second of each.

Needs an NVIDIA GPU and `pip install ".[gpu]"`; exits with code 1 and one line without.

First every output (distances, amounts, strengths, directions, maps, cells) is compared, for
images of several shapes, batches of several sizes, and one reference with many candidates. Then
pairs a second: of the CPU, and of CUDA with and without batches filled to a power of two, and with
and without inputs and outputs bound to the device (`dps_infer.runtime.cuda`). Images are decoded
beforehand, but for the last column. All sides run alternately; a rate is the median of the rounds.
Exit code 1, after the record is written, where CUDA measures something else than the CPU.

Last the loss of `dps_train`, where PyTorch has CUDA: its value and its gradient beside those of
the CPU, images a second of both, forward and backward, and the memory of the GPU per megapixel.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from benchmarks.shared.loss_steps import MODES, image_pair, loss_of, seconds_of_step, step
from benchmarks.shared.options import SeedOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from benchmarks.speed.throughput import MOST_FILES, Paths, pairs_in, write_pairs
from dps_infer import Metric
from dps_infer.commands.shared.run import say
from dps_infer.compare.stream import score
from dps_infer.contexts.ranking import KINDS
from dps_infer.doctor import AGREEMENT
from dps_infer.errors import DeviceError
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMPORTANCE, Measurement
from dps_infer.runtime.cuda import Feeding
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine
from dps_train.loss import PerceptualLoss

TESTED = Device.cuda
"""The device that is held against the CPU; the tests, which have no GPU, put the CPU here."""

RANKING = "color,translate,zoom,rotate,darken,blur"
SHAPES = ((64, 64), (40, 47), (128, 96), (200, 200), (256, 256), (300, 448))
"""Heights and widths: below a cell, no multiples of it, and several cells."""

BATCHES = (1, 3, 16)
CANDIDATES = 16
"""Candidates of one reference. From eight on, the CPU computes its features only once."""

OUTPUTS = ("distances", "amounts", "strengths", "directions", "maps", "cells")
SMALLEST = 0.01
"""Values below it are compared as if they were this large: a hundredth of an amount of 1."""

BATCH = 16
SIDES = (256, 200)
FETCHES = ["distance", "amounts"]
ROUNDS = 5
LOSS_BATCH, LOSS_SIDE = 8, 256
EVEN, UNEVEN, SHARED, FILES = "equal batches", "mixed batches", "one reference", "files"

Pixels = NDArray[np.uint8]
Feeds = dict[str, NDArray[Any]]


class Agreement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The largest relative differences of one output.

    Attributes:
        output: one of `OUTPUTS`.
        from_cpu: CUDA from the CPU.
        from_single: CUDA in a batch from CUDA with one pair at a time.
    """

    output: str
    from_cpu: float
    from_single: float


class Rates(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Pairs a second by workload; `filled` and `bound` are None on the CPU."""

    device: str
    filled: bool | None
    bound: bool | None
    rates: dict[str, float]


class LossFigures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The loss on CUDA.

    Attributes:
        mode: which loss.
        value: relative difference from the CPU.
        gradient: length of the difference from the CPU's gradient, as a share of its length.
        cpu: images of `LOSS_SIDE` a second on the CPU.
        cuda: the same on CUDA.
        mebibytes: of GPU memory per megapixel; None if unknown.
    """

    mode: str
    value: float
    gradient: float
    cpu: float
    cuda: float
    mebibytes: float | None


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Agreement and speed.

    Attributes:
        gpu: name of the GPU, and version of its driver.
        identical: the largest distance of identical images on CUDA; must be 0.
        agreement: of each output.
        speed: of each side.
        memory: MiB of the GPU that were in use after the run and not before; None if unknown.
        loss: the loss; empty where PyTorch has no CUDA.
    """

    gpu: str
    identical: float
    agreement: list[Agreement]
    speed: list[Rates]
    memory: int | None
    loss: list[LossFigures] = []


def measure(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each workload.")] = 512,
    context: Annotated[
        Path | None, typer.Option(help="Another universal context file than the package's.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.  [default: all cores]")
    ] = None,
    seed: SeedOption = 0,
) -> Measured:
    """Compare both devices, and time them."""
    path = embedded.UNIVERSAL if context is None else context
    before = _memory_used()
    tested = Metric.load(path, ranking=RANKING, device=TESTED)
    cpu = Metric.load(path, ranking=RANKING, device=Device.cpu, threads=threads)
    say(NAME, f"comparing {tested.provider} with {cpu.provider}")
    agreement, identical = compare_devices(cpu, tested, seed)
    say(NAME, "timing")
    speed = time_devices(path, pairs, threads, seed)
    after = _memory_used()
    say(NAME, "running the loss")
    figures = Figures(
        gpu=_gpu_name(),
        identical=identical,
        agreement=agreement,
        speed=speed,
        memory=None if before is None or after is None else after - before,
        loss=compare_loss(seed),
    )
    return Measured(figures, {"context": file_input(path)})


def check(figures: Figures) -> None:
    """Refuse figures of a CUDA that measures something else than the CPU.

    Raises:
        DeviceError: it does.
    """
    if figures.identical != 0:
        raise DeviceError(f"identical images are {figures.identical:g} apart on CUDA: expected 0")
    for one in figures.agreement:
        # NumPy's maximum keeps a NaN, which must not pass.
        largest = np.max([one.from_cpu, one.from_single])
        if not largest <= AGREEMENT:
            raise DeviceError(
                f"{one.output} differ by {largest:.3g} of themselves on CUDA: expected at "
                f"most {AGREEMENT:g}"
            )
    for row in figures.loss:
        if not row.value <= AGREEMENT:
            raise DeviceError(
                f"the loss ({row.mode}) differs by {row.value:.3g} of itself on CUDA: expected at "
                f"most {AGREEMENT:g}"
            )


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table for the agreement, and one for the speed."""
    agreement = [
        (one.output, f"{one.from_cpu:.1e}", f"{one.from_single:.1e}") for one in figures.agreement
    ]
    workloads = list(figures.speed[0].rates)
    speed = [
        (
            row.device,
            *("" if on is None else "yes" if on else "no" for on in (row.filled, row.bound)),
            *(f"{row.rates[name]:.0f}" if name in row.rates else "" for name in workloads),
        )
        for row in figures.speed
    ]
    return {
        "agreement": Table(
            ("output", "CUDA from CPU", "batch from single pairs"),
            agreement,
            f"{figures.gpu}: largest relative difference",
        ),
        "speed": Table(
            ("device", "filled", "bound", *workloads), speed, f"{figures.gpu}: pairs a second"
        ),
        "loss": Table(
            ("loss", "value", "gradient", "CPU", "CUDA", "MiB"),
            [
                (
                    row.mode,
                    f"{row.value:.1e}",
                    f"{row.gradient:.1e}",
                    f"{row.cpu:.1f}",
                    f"{row.cuda:.1f}",
                    "" if row.mebibytes is None else f"{row.mebibytes:.0f}",
                )
                for row in figures.loss
            ],
            f"{figures.gpu}: relative differences from the CPU, images a second, and memory per "
            "megapixel",
        ),
    }


def compare_devices(cpu: Metric, tested: Metric, seed: int) -> tuple[list[Agreement], float]:
    """Compare all outputs.

    Returns:
        The largest differences, and the largest distance of identical images on `tested`.
    """
    identical: list[float] = []
    from_cpu: dict[str, list[float]] = {}
    from_single: dict[str, list[float]] = {}
    for reference, distorted in cases(seed):
        expected = cpu.measure(reference, distorted, with_map=True)
        found = tested.measure(reference, distorted, with_map=True)
        _add_differences(from_cpu, found, expected)
        last = len(distorted) - 1
        single = tested.measure(reference[-1:], distorted[last:], with_map=True)
        _add_differences(from_single, found, single)
        same = np.ascontiguousarray(np.broadcast_to(reference, distorted.shape))
        identical.append(float(tested.measure(reference, same).distances.max()))
    agreement = [
        Agreement(
            output=output,
            # NumPy's maximum keeps a NaN.
            from_cpu=float(np.max(from_cpu[output])),
            from_single=float(np.max(from_single[output])),
        )
        for output in from_cpu
    ]
    return agreement, float(np.max(identical))


def cases(seed: int) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield references [R, H, W, 3] and changed images [N, H, W, 3], R = N or 1."""
    for shape in SHAPES:
        for count in BATCHES:
            yield image_batch(seed, count, shape)
        _, distorted = image_batch(seed, CANDIDATES, shape)
        yield distorted[:1], distorted


def difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest relative difference; values below `SMALLEST` count as that.

    >>> difference(np.float32([1.0, 0.001]), np.float32([1.0, 0.002]))  # doctest: +ELLIPSIS
    0.1...
    """
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), SMALLEST)))


def time_devices(path: Path, pairs: int, threads: int | None, seed: int) -> list[Rates]:
    """Return pairs a second of the CPU, and of CUDA in every way of feeding it."""
    model = read_context_file(path).model
    cpu = open_engine(model, device=Device.cpu, threads=threads)
    cuda = open_engine(model, device=TESTED)
    speed = [Rates(device="CPU", filled=None, bound=None, rates={})] + [
        Rates(device="CUDA", filled=filled, bound=bound, rates={})
        for filled in (False, True)
        for bound in (False, True)
    ]
    workloads = {
        EVEN: list(even_batches(pairs, seed)),
        UNEVEN: list(uneven_batches(pairs, seed)),
        SHARED: list(shared_reference(pairs, seed)),
    }
    for name, batches in workloads.items():
        sides = [partial(_run_all, _engine(row, cpu, cuda), row, batches) for row in speed]
        count = sum(len(feeds["distorted"]) for feeds in batches)
        for row, rate in zip(speed, _rates(sides, count), strict=True):
            row.rates[name] = rate
    # As the package feeds CUDA: batches filled, inputs and outputs bound.
    speed[0].rates[FILES], speed[-1].rates[FILES] = time_files(path, pairs, threads, seed)
    return speed


def compare_loss(seed: int) -> list[LossFigures]:
    """Run each loss on the CPU and on the tested device; nothing without a CUDA of PyTorch."""
    if TESTED is Device.cuda and not torch.cuda.is_available():
        say(NAME, "PyTorch has no CUDA: the loss is left out")
        return []
    return [_compare_loss(mode, seed) for mode in MODES]


def _compare_loss(mode: str, seed: int) -> LossFigures:
    images = image_pair(LOSS_BATCH, LOSS_SIDE, seed)
    there = [part.to(TESTED.value) for part in images]
    cpu, cuda = loss_of(mode), loss_of(mode).to(TESTED.value)
    value, gradient = step(cpu, *images)
    found, found_gradient = (part.cpu() for part in step(cuda, *there))
    before = _start_of_peak(there[0])
    step(cuda, *there)
    peak = None if before is None else torch.cuda.max_memory_allocated() - before
    sides = [partial(_wall, cpu, images), partial(_wall, cuda, there)]
    cpu_rate, cuda_rate = _rates(sides, LOSS_BATCH)
    return LossFigures(
        mode=mode,
        value=float((found - value).abs() / value),
        gradient=float((found_gradient - gradient).norm() / gradient.norm()),
        cpu=cpu_rate,
        cuda=cuda_rate,
        mebibytes=None if peak is None else peak / 2**20 / (images[0][:, 0].numel() / 1e6),
    )


def _wall(loss: PerceptualLoss, images: Sequence[Tensor]) -> None:
    seconds_of_step(loss, *images)


def _start_of_peak(images: Tensor) -> int | None:
    """Begin a peak of CUDA's memory; return what is in use now, or None for other devices."""
    if not images.is_cuda:
        return None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def time_files(path: Path, pairs: int, threads: int | None, seed: int) -> list[float]:
    """Return pairs a second from PNG files, decoding included, of the CPU and of CUDA."""
    cpu = Metric.load(path, ranking=RANKING, device=Device.cpu, threads=threads)
    cuda = Metric.load(path, ranking=RANKING, device=TESTED)
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), min(pairs, MOST_FILES), seed)
        paths = list(islice(pairs_in(Path(folder)), pairs))
        return _rates([partial(_score_all, metric, paths) for metric in (cpu, cuda)], pairs)


def even_batches(pairs: int, seed: int) -> Iterator[Feeds]:
    """Yield batches of equal sizes."""
    for number in range(max(1, pairs // BATCH)):
        yield _feeds(*image_batch(seed + number, BATCH, (SIDES[0], SIDES[0])))


def uneven_batches(pairs: int, seed: int) -> Iterator[Feeds]:
    """Yield batches of 1 to `BATCH` pairs, of two sizes alternately, as folders have them."""
    generator = np.random.default_rng(seed)
    number, left = 0, pairs
    while left > 0:
        count = min(left, int(generator.integers(1, BATCH + 1)))
        side = SIDES[number % len(SIDES)]
        yield _feeds(*image_batch(seed + number, count, (side, side)))
        number, left = number + 1, left - count


def shared_reference(pairs: int, seed: int) -> Iterator[Feeds]:
    """Yield batches of candidates of one reference."""
    for number in range(max(1, pairs // BATCH)):
        _, distorted = image_batch(seed + number, BATCH, (SIDES[0], SIDES[0]))
        yield _feeds(distorted[:1], distorted)


def image_batch(seed: int, count: int, shape: tuple[int, int]) -> tuple[Pixels, Pixels]:
    """Cut patches out of photographs; return them, and copies: blurred, noisy, darker, the same."""
    generator = np.random.default_rng(seed)
    photographs = [getattr(data, name)() for name in ("astronaut", "coffee", "rocket")]
    references, copies = [], []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (
            generator.integers(0, length - side + 1)
            for length, side in zip(photograph.shape[:2], shape, strict=True)
        )
        patch = np.ascontiguousarray(photograph[top : top + shape[0], left : left + shape[1]])
        references.append(patch)
        copies.append(_changed(patch, number, generator))
    return np.stack(references), np.stack(copies)


def _changed(patch: Pixels, number: int, generator: np.random.Generator) -> Pixels:
    kinds = (
        cv2.GaussianBlur(patch, (0, 0), generator.uniform(0.5, 3)),
        np.clip(patch + generator.normal(0, 6, patch.shape), 0, 255),
        patch * generator.uniform(0.4, 0.95),
        patch,
    )
    return np.asarray(kinds[number % len(kinds)]).astype(np.uint8)


def _add_differences(
    differences: dict[str, list[float]], found: Measurement, expected: Measurement
) -> None:
    """Add the differences of the last rows that both have, output by output."""
    for output in OUTPUTS:
        one, other = getattr(found, output), getattr(expected, output)
        if one is not None:
            differences.setdefault(output, []).append(difference(one[-len(other) :], other))


def _feeds(reference: Pixels, distorted: Pixels) -> Feeds:
    return {
        "reference": reference,
        "distorted": distorted,
        # Of each kind, of `other`, and of the size.
        IMPORTANCE: np.ones(len(KINDS) + 2, np.float32),
    }


def _engine(side: Rates, cpu: Engine, cuda: Engine) -> Engine:
    return cpu if side.bound is None else cuda


def _run_all(engine: Engine, side: Rates, batches: list[Feeds]) -> None:
    if side.filled is not None:
        engine.feeding = Feeding(side.filled, TESTED.value if side.bound else None)
    for feeds in batches:
        engine.run(FETCHES, feeds, alone=True)


def _score_all(metric: Metric, paths: Paths) -> None:
    for scored in score(paths, {"": metric}):
        if scored.error:
            raise DeviceError(scored.error)


def _rates(sides: Sequence[Callable[[], None]], pairs: int) -> list[float]:
    """Run all sides alternately, and return the median rate of each."""
    rates: list[list[float]] = [[] for _ in sides]
    for number in range(ROUNDS + 1):
        for side, found in zip(sides, rates, strict=True):
            begun = time.perf_counter()
            side()
            # The first round sets up sessions and memory, and does not count.
            if number > 0:
                found.append(pairs / (time.perf_counter() - begun))
    return list(map(statistics.median, rates))


def _memory_used() -> int | None:
    """Return the MiB in use on the first GPU, by any process; None if unknown."""
    used = _nvidia_smi("memory.used", "nounits")
    return None if used is None else int(used.split()[0])


def _gpu_name() -> str:
    return _nvidia_smi("name,driver_version") or "unknown GPU"


def _nvidia_smi(fields: str, *formats: str) -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    shown = ",".join(("csv", "noheader", *formats))
    query = ["nvidia-smi", "-i", "0", f"--query-gpu={fields}", f"--format={shown}"]
    done = subprocess.run(query, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
