"""Agreement of other runtimes with onnxruntime: OpenVINO, and onnxruntime-web in a browser.

A context file is run on pairs of photographs by onnxruntime on the CPU and by each other runtime:
several sizes, one reference with three candidates, and references of their own; darker, noisy,
shifted, blurred and compressed. The browser, a headless Chromium, needs the npm package
onnxruntime-web in a folder (`--web`). There WebGPU computes on the processor, too, and takes long,
so the browser gets small images only. Exit code 1, after the record is written, where distances,
amounts or maps differ by more than 1e-4, or identical images are not 0 apart.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from skimage import data

from benchmarks.shared.options import SeedOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import say
from dps_infer.contexts.ranking import KINDS
from dps_infer.errors import DpsError
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.model.contract import IMPORTANCE
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import open_engine

Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]
Run = Callable[[Mapping[str, NDArray[Any]]], Outputs]
"""Runs a model: outputs by name, from inputs by name."""

PHOTOGRAPHS = ("chelsea", "coffee")
SIZES = ((33, 47), (64, 64), (96, 160), (241, 180), (480, 640))
"""Heights and widths: below a cell, one cell, no multiples of it, and many cells."""

WEB_SIZES = SIZES[:3]
SHIFT = 3

MEASURED = ("distance", "size", "amounts")
READ = ("map", "strengths", "directions", "cells")
NAMES = (*MEASURED, *READ)

TOLERANCE = 1e-4
"""Largest difference of `MEASURED`, relative to the output's largest value if that is above 1.

All compute in float32, and sum in different orders. In the motion estimate and in logarithms of
faint differences these rounding errors grow to some 1e-5. `READ` are exponentials, cells of few
pixels, and the map that follows these cells."""


class Agreement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far a runtime is from onnxruntime on the CPU.

    Attributes:
        runtime: its name and version, and what it computes on.
        pairs: images pairs that were compared.
        differences: the largest one of each output, relative to its largest value above 1.
        identical: the largest distance, amount or map of identical images; must be 0.
    """

    runtime: str
    pairs: int
    differences: dict[str, float]
    identical: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The agreement of each runtime."""

    agreements: list[Agreement]


def measure(
    context: Annotated[
        Path | None, typer.Option(help="Another universal context file than the package's.")
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="Folder of the npm package onnxruntime-web; without it, no browser."),
    ] = None,
    seed: SeedOption = 0,
) -> Measured:
    """Run all runtimes on the same images."""
    path = embedded.UNIVERSAL if context is None else context
    run = onnxruntime_cpu(path)
    agreements = []
    for name, opened, sizes in _runtimes(path, web):
        say(NAME, f"comparing {name} with onnxruntime")
        with opened() as other:
            agreements.append(compare(name, run, other, cases(sizes, seed)))
    return Measured(Figures(agreements=agreements), {"context": file_input(path)})


def check(figures: Figures) -> None:
    """Refuse figures of a runtime that measures something else than onnxruntime.

    Raises:
        DpsError: one does.
    """
    for one in figures.agreements:
        if one.identical != 0:
            raise DpsError(f"{one.runtime}: identical images give {one.identical:g}, expected 0")
        for name in MEASURED:
            if not one.differences[name] <= TOLERANCE:  # also refuses a NaN
                raise DpsError(
                    f"{one.runtime}: {name} differs by {one.differences[name]:.2g}, expected at "
                    f"most {TOLERANCE:g}"
                )


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table: a row for each runtime."""
    rows = [
        (
            one.runtime,
            str(one.pairs),
            *(f"{one.differences[name]:.1e}" for name in NAMES),
            f"{one.identical:g}",
        )
        for one in figures.agreements
    ]
    title = "largest difference from onnxruntime on the CPU, relative to the largest value above 1"
    return {"": Table(("runtime", "pairs", *NAMES, "identical images"), rows, title)}


def compare(
    name: str, expected: Run, tested: Run, images: Iterator[tuple[Pixels, Pixels]]
) -> Agreement:
    """Run two runtimes on the same images."""
    largest = dict.fromkeys(NAMES, 0.0)
    identical, pairs = 0.0, 0
    for reference, distorted in images:
        feeds = feeds_of(reference, distorted)
        wanted, found = expected(feeds), tested(feeds)
        for output, value in wanted.items():
            # NumPy's maximum keeps a NaN.
            largest[output] = float(np.max([largest[output], difference(found[output], value)]))
        same = tested(feeds_of(distorted, distorted))
        identical = float(np.max([identical, *(np.abs(same[one]).max() for one in MEASURED)]))
        pairs += len(distorted)
    return Agreement(runtime=name, pairs=pairs, differences=largest, identical=identical)


def difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], share: float = 1.0
) -> float:
    """Return the largest difference, relative to the largest value if that is above 1.

    With `share`, it is the largest one of this share of the values, those that agree best.

    >>> difference(np.float32([1.0, 4.0]), np.float32([1.0, 2.0]))
    1.0
    >>> difference(np.float32([0.25]), np.float32([0.5]))
    0.25

    Raises:
        DpsError: the shapes differ.
    """
    if found.shape != expected.shape:
        raise DpsError(f"an output has the shape {found.shape}, expected {expected.shape}")
    apart = float(np.quantile(np.abs(found - expected), share))
    return apart / max(1.0, float(np.abs(expected).max()))


def cases(sizes: Sequence[tuple[int, int]], seed: int) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield references [R, H, W, 3] and changed images [N, H, W, 3]: R = 1, N = 3; R = N = 2."""
    generator = np.random.default_rng(seed)
    for height, width in sizes:
        for name in PHOTOGRAPHS:
            photograph = _at_least(getattr(data, name)(), height, width + SHIFT)
            # Out of the middle: photographs are blurred in their corners.
            top = (photograph.shape[0] - height) // 2
            left = (photograph.shape[1] - width - SHIFT) // 2
            image, shifted = (
                photograph[top : top + height, start : start + width]
                for start in (left, left + SHIFT)
            )
            darker = np.rint(0.8 * image).astype(np.uint8)
            noise = generator.normal(0, 8, image.shape)
            noisy = np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)
            yield image[None], np.stack([darker, noisy, shifted])
            blurred = cv2.GaussianBlur(shifted, (0, 0), 2)
            yield np.stack([image, shifted]), np.stack([_compressed(image), blurred])


def feeds_of(reference: Pixels, distorted: Pixels) -> dict[str, NDArray[Any]]:
    """Return the inputs of a universal file, in a context where all kinds count alike."""
    importance = np.ones(len(KINDS) + 2, np.float32)  # of each kind, of `other`, and of the size
    importance[-1] = 0
    return {"reference": reference, "distorted": distorted, IMPORTANCE: importance}


def onnxruntime_cpu(path: Path) -> Run:
    """Return how onnxruntime runs a file on the CPU."""
    engine = open_engine(read_model(path.read_bytes()), device=Device.cpu, threads=1)
    return partial(engine.run, NAMES)


def openvino_cpu(path: Path) -> Run:
    """Return how OpenVINO runs a file on the CPU.

    Raises:
        DpsError: the package is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise DpsError("OpenVINO is not installed: pip install openvino") from None
    core = openvino.Core()
    # By default, OpenVINO computes in bfloat16 on processors that have it.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(path), "CPU", hints)

    def run(feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        found = compiled(dict(feeds))
        return {name: found[name] for name in NAMES}

    return run


def _runtimes(
    path: Path, web: Path | None
) -> Iterator[tuple[str, Callable[[], AbstractContextManager[Run]], Sequence[tuple[int, int]]]]:
    """Yield each runtime's name, how it is opened, and the sizes of images that it gets."""

    @contextmanager
    def openvino() -> Iterator[Run]:
        yield openvino_cpu(path)

    yield f"OpenVINO {importlib.metadata.version('openvino')}, CPU", openvino, SIZES
    if web is None:
        return
    # Here: the browser's driver need not be installed for OpenVINO.
    from benchmarks.shared.browser_runtime import open_in_browser, package_version

    @contextmanager
    def browser(provider: str) -> Iterator[Run]:
        with open_in_browser(path, web, provider) as runtime:
            yield partial(runtime.run, NAMES)

    version = package_version(web)
    for name, provider in (("WebAssembly", "wasm"), ("WebGPU on SwiftShader", "webgpu")):
        yield f"onnxruntime-web {version}, {name}", partial(browser, provider), WEB_SIZES


def _at_least(image: Pixels, height: int, width: int) -> Pixels:
    """Enlarge an image that is too small, by repeating its pixels."""
    times = max(-(-height // image.shape[0]), -(-width // image.shape[1]))
    return image.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else image


def _compressed(image: Pixels) -> Pixels:
    """Return an image as JPEG of quality 30 keeps it."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])
