"""Memory of each runtime on one pair of images: the largest resident memory of a process.

Each runtime runs in a process of its own: onnxruntime with the whole file, with the file cut to
distance and amounts, and with a leaner export of these, OpenVINO, `dps_infer`, and with `--client`
onnxruntime-web in Node, which is WebAssembly. The pair is a drawn picture, shifted by three pixels.
Exit code 1, after the record is written, if the leaner export takes more than `LEAN_GIGABYTES`.
"""

from __future__ import annotations

import multiprocessing
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.shared.options import SeedOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_export.lean.choice import Lean
from dps_export.lean.embedded import export_embedded
from dps_infer.commands.shared.run import say
from dps_infer.errors import DpsError
from dps_infer.model import embedded

Pixels = NDArray[np.uint8]

SIZES = ((1000, 1000), (2000, 2000), (3000, 4000))
"""Heights and widths: 1, 4 and 12 megapixels."""

WASM_SIZES = SIZES[:2]
"""WebAssembly has 4 GB at most."""

SHIFT = 3

LEAN = "onnxruntime, exported with --outputs distance,amounts"
LEAN_GIGABYTES = 0.6
"""What a leaner export may take at the largest size."""


class Peak(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Memory of one process.

    Attributes:
        runtime: for people.
        megapixels: of each image.
        gigabytes: the largest resident memory.
    """

    runtime: str
    megapixels: int
    gigabytes: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The memory of each runtime at each size."""

    peaks: list[Peak]


def measure(
    context: Annotated[
        Path | None, typer.Option(help="Another universal context file than the package's.")
    ] = None,
    client: Annotated[
        Path | None,
        typer.Option(help="Folder clients/js with its packages; without it, no WebAssembly."),
    ] = None,
    seed: SeedOption = 0,
) -> Measured:
    """Run each runtime at each size."""
    path = embedded.UNIVERSAL if context is None else context
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        leaner = Path(folder) / "lean.onnx"
        export_embedded(leaner, Lean(outputs=("distance", "amounts")), source=path)
        for name, run in RUNTIMES.items():
            file = leaner if name == LEAN else path
            for size in SIZES:
                say(NAME, f"{name}, {_megapixels(size)} megapixels")
                peaks.append(_peak(name, size, _in_process(run, file, size, seed)))
    if client is not None:
        for size in WASM_SIZES:
            say(NAME, f"WebAssembly, {_megapixels(size)} megapixels")
            peaks.append(_peak("onnxruntime-web, WebAssembly", size, _in_node(client, path, size)))
    return Measured(Figures(peaks=peaks), {"context": file_input(path)})


def check(figures: Figures) -> None:
    """Refuse a leaner export that takes too much memory."""
    for one in figures.peaks:
        if one.runtime == LEAN and one.gigabytes > LEAN_GIGABYTES:
            raise DpsError(
                f"a leaner export takes {one.gigabytes:.2f} GB at {one.megapixels} megapixels, "
                f"expected at most {LEAN_GIGABYTES:g} GB"
            )


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table: a row for each runtime, a column for each size."""
    sizes = [_megapixels(size) for size in SIZES]
    rows = []
    for name in dict.fromkeys(one.runtime for one in figures.peaks):
        found = {one.megapixels: one.gigabytes for one in figures.peaks if one.runtime == name}
        cells = (f"{found[size]:.1f} GB" if size in found else "" for size in sizes)
        rows.append((name, *cells))
    return {"": Table(("runtime", *(f"{size} megapixels" for size in sizes)), rows)}


def picture(size: tuple[int, int], seed: int) -> Pixels:
    """Draw smooth colors with fine grain, uint8 RGB [H, W, 3]."""
    random = np.random.default_rng(seed)
    height, width = size
    coarse = random.integers(40, 180, (height // 100 + 1, width // 100 + 1, 3), dtype=np.uint8)
    smooth = coarse.repeat(100, axis=0).repeat(100, axis=1)[:height, :width]
    return np.asarray(smooth + random.integers(0, 40, (height, width, 1), dtype=np.uint8), np.uint8)


def _whole(path: Path, reference: Pixels, distorted: Pixels) -> None:
    _session(path.read_bytes(), None, reference, distorted)


def _cut(path: Path, reference: Pixels, distorted: Pixels) -> None:
    from dps_infer.graph.cut import cut
    from dps_infer.graph.model import read_model

    part = cut(read_model(path.read_bytes()), (), ("distance", "amounts"))
    assert part is not None
    _session(part.data, ["distance", "amounts"], reference, distorted)


def _session(model: bytes, fetches: list[str] | None, reference: Pixels, distorted: Pixels) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(fetches, _feeds(reference, distorted))


def _openvino(path: Path, reference: Pixels, distorted: Pixels) -> None:
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    openvino.Core().compile_model(str(path), "CPU", hints)(_feeds(reference, distorted))


def _dps_infer(path: Path, reference: Pixels, distorted: Pixels) -> None:
    from dps_infer import Metric

    metric = Metric.load(path, importances={"size": 1.0}, device="cpu", threads=1)
    metric.compare(reference[0], distorted[0])


Run = Callable[[Path, Pixels, Pixels], None]
RUNTIMES: dict[str, Run] = {
    "dps_infer, without a map": _dps_infer,
    LEAN: _whole,
    "onnxruntime, cut to distance and amounts": _cut,
    "onnxruntime, the whole file": _whole,
    "OpenVINO, the whole file": _openvino,
}


def _feeds(reference: Pixels, distorted: Pixels) -> dict[str, NDArray[Any]]:
    from dps_infer.contexts.ranking import KINDS

    importance = np.ones(len(KINDS) + 2, np.float32)
    return {"reference": reference, "distorted": distorted, "importance": importance}


def _in_process(run: Run, path: Path, size: tuple[int, int], seed: int) -> float:
    """Return the largest resident memory of a new process, in bytes."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, run, path, size, seed))
    process.start()
    sender.close()
    try:
        found = float(receiver.recv())
    except EOFError:
        raise DpsError(f"a runtime broke off at {_megapixels(size)} megapixels") from None
    finally:
        process.join()
    return found


def _child(sender: Any, run: Run, path: Path, size: tuple[int, int], seed: int) -> None:
    wide = picture((size[0], size[1] + SHIFT), seed)
    reference, distorted = (
        np.ascontiguousarray(wide[None, :, left : left + size[1]]) for left in (0, SHIFT)
    )
    run(path, reference, distorted)
    sender.send(_largest_memory())


def _largest_memory() -> int:
    """Return the largest resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # `getrusage` begins with the memory of the process that started this one.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    # Kilobytes on most systems, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _in_node(client: Path, path: Path, size: tuple[int, int]) -> float:
    height, width = size
    found = subprocess.run(
        ["node", "scripts/memory.mjs", str(path.resolve()), str(height), str(width)],
        cwd=client,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise DpsError(f"Node failed: {(found.stderr.strip() or 'no message').splitlines()[-1]}")
    return float(found.stdout)


def _peak(name: str, size: tuple[int, int], memory: float) -> Peak:
    return Peak(runtime=name, megapixels=_megapixels(size), gigabytes=memory / 1e9)


def _megapixels(size: tuple[int, int]) -> int:
    return round(size[0] * size[1] / 1e6)
