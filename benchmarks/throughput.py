"""How fast and in how much memory many pairs are scored, beside the `lpips` package.

    python benchmarks/throughput.py --weights squeezenet1_1.safetensors

Both read the same PNG files of 256 x 256 pixels and use the same SqueezeNet trunk, on one thread
that computes. They take turns, so that what else the machine does hits both alike, and what
counts is CPU time: pairs a second on one core. The head of our metric is trained for a moment
only, which takes the same time as a good one. Needs `pip install lpips`.

Then what one reference against 64 candidates costs, as a share of what 64 pairs cost, again from
files and in turns: the reference is decoded once, and its features are computed once.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

SIDE = 256
DISTINCT = 500
"""Different pairs at most; more are these again, never one twice in a row."""
RANKING = "color,translate,zoom,rotate,darken,blur"
TURN = 48
"""Pairs that one side scores before the other one does."""
CANDIDATES = 64
"""Of one reference."""
SHARING_TURNS = 5
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""The C library's names for settings of its memory."""
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket")
VIEWS = ("both", "tiles", "whole")

Pixels = NDArray[np.uint8]
Paths = list[tuple[Path, Path]]
Side = Callable[[Paths], None]

app = typer.Typer(add_completion=False)


@app.command()
def main(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs for the speed.")] = 2000,
    memory: Annotated[str, typer.Option(help="Numbers of pairs for the memory.")] = "500,5000",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the trunk; without, random ones.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure speed beside `lpips`, and memory at two numbers of pairs."""
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write_pairs(base, min(pairs, DISTINCT))
        trunk = weights or random_weights(base / "random.safetensors")
        context = make_context(base, trunk)
        report = {
            "pairs": pairs,
            "speed": speed(list(islice(pairs_of(base), pairs)), context, trunk),
            "sharing": sharing(list(islice(pairs_of(base), CANDIDATES)), context),
            "memory": {
                name: {int(count): peak(base, int(count), file) for count in memory.split(",")}
                for name, file in (("squeezenet", str(context)), ("embedded", ""))
            },
        }
    if as_json:
        print(json.dumps(report, indent=2))
        return
    table = Table("metric", "view", "pairs/s a core", "times lpips", title=f"{pairs} pairs")
    for row in report["speed"]:
        figures = (f"{row[name]:.2f}" for name in ("rate", "ratio"))
        table.add_row(row["metric"], row["view"], *figures)
    Console().print(table)
    table = Table("metric", "view", "share", title=f"1 reference, {CANDIDATES} candidates")
    for row in report["sharing"]:
        table.add_row(row["metric"], row["view"], f"{row['share']:.3f}")
    Console().print(table)
    for name, peaks in report["memory"].items():
        each = ", ".join(f"{mebibytes:.0f} MiB at {count}" for count, mebibytes in peaks.items())
        ratio = max(peaks.values()) / min(peaks.values())
        print(f"peak memory, {name}: {each} pairs: ratio {ratio:.3f}")


@app.command()
def score(folder: Path, count: int, context: str) -> None:
    """Score pairs of a folder, and print the peak memory of this process in MiB."""
    run = ours(context, None)
    run(list(islice(pairs_of(folder), count)))
    # Linux. getrusage would tell the peak of the parent process, where that is larger.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def keep_memory() -> None:
    """Let this process keep the memory that it frees.

    Left to itself, the C library gives PyTorch's large blocks back and takes them anew, at times:
    that alone makes `lpips` half as slow again or not, by chance. onnxruntime keeps its own.
    """
    library = ctypes.CDLL(None)
    library.mallopt(MMAP_THRESHOLD, 1 << 25)
    library.mallopt(TRIM_THRESHOLD, 1 << 30)


def speed(paths: Paths, context: Path, trunk: Path) -> list[dict[str, Any]]:
    """Time every side in turns; the first turn of each, which allocates, does not count."""
    sides = {("lpips", "-"): lpips_squeeze(trunk), **our_sides(context)}
    seconds = dict.fromkeys(sides, 0.0)
    for side in sides.values():
        side(paths[:TURN])
    for start in range(0, len(paths), TURN):
        for key, side in sides.items():
            begun = time.process_time()
            side(paths[start : start + TURN])
            seconds[key] += time.process_time() - begun
    peer = seconds["lpips", "-"]
    return [
        {"metric": name, "view": view, "rate": len(paths) / spent, "ratio": peer / spent}
        for (name, view), spent in seconds.items()
    ]


def sharing(paths: Paths, context: Path) -> list[dict[str, Any]]:
    """Time one reference against all candidates beside the pairs, in turns."""
    reference, _ = paths[0]
    tasks = {"pairs": paths, "shared": [(reference, candidate) for _, candidate in paths]}
    rows = []
    for (name, view), side in our_sides(context).items():
        seconds = dict.fromkeys(tasks, 0.0)
        for turn in range(SHARING_TURNS + 1):
            for task, some in tasks.items():
                begun = time.process_time()
                side(some)
                # The first turn allocates, and does not count.
                seconds[task] += (time.process_time() - begun) * bool(turn)
        share = seconds["shared"] / seconds["pairs"]
        rows.append({"metric": name, "view": view, "share": share})
    return rows


def our_sides(context: Path) -> dict[tuple[str, str], Side]:
    """Return our metrics in each view, by their names and the view's."""
    files = {"squeezenet": str(context), "embedded": ""}
    return {(name, view): ours(file, view) for name, file in files.items() for view in VIEWS}


def ours(context: str, view: str | None) -> Side:
    from dps_infer import Context
    from dps_infer.compare.stream import score

    if context:
        loaded = Context.load(context, device="cpu", threads=1)
    else:
        loaded = Context.universal(ranking=RANKING, device="cpu", threads=1)

    def run(paths: Paths) -> None:
        for scored in score(paths, {"": loaded}, view=view, decoders=1):
            if scored.error:
                raise RuntimeError(scored.error)

    return run


def lpips_squeeze(trunk: Path) -> Side:
    """Its metric with random linear layers, used as its own script does: a pair at a time."""
    import lpips
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    metric = lpips.LPIPS(net="squeeze", pretrained=False, pnet_rand=True, verbose=False)
    loaded = {
        ".".join(key.split(".")[1:]): value
        for key, value in load_file(trunk).items()
        if key.startswith("features.")
    }
    state = metric.net.state_dict()
    # Its slices keep torchvision's numbers: slice1.0.weight is features.0.weight.
    metric.net.load_state_dict({key: loaded[key.partition(".")[2]] for key in state})

    def run(paths: Paths) -> None:
        with torch.no_grad():
            for pair in paths:
                first, second = (lpips.im2tensor(lpips.load_image(str(path))) for path in pair)
                metric(first, second).item()

    return run


def make_context(folder: Path, trunk: Path) -> Path:
    """Train for a moment and export, as a user would."""
    run, output = folder / "run", folder / "squeezenet.onnx"
    options = ("--backbone", "squeezenet1_1", "--weights", trunk, "--ranking", RANKING)
    short = ("--pairs", 200, "--epochs", 1, "--device", "cpu", "--json")
    _command("dps_train.cli", *options, *short, "--out", run)
    _command("dps_export.cli", run, "--output", output)
    return output


def random_weights(path: Path) -> Path:
    import torch
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    save_file(dict(squeezenet1_1(weights=None).state_dict()), path)
    return path


def write_pairs(folder: Path, count: int) -> None:
    """Write patches of photographs, and each of them changed in one of three ways."""
    from skimage import data

    generator = np.random.default_rng(0)
    photographs = [getattr(data, name)() for name in PHOTOGRAPHS]
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (generator.integers(0, side - SIDE) for side in photograph.shape[:2])
        patch = np.ascontiguousarray(photograph[top : top + SIDE, left : left + SIDE, ::-1])
        cv2.imwrite(str(folder / f"{number}-reference.png"), patch)
        cv2.imwrite(str(folder / f"{number}-candidate.png"), _changed(patch, number, generator))


def _changed(patch: Pixels, number: int, generator: np.random.Generator) -> Pixels:
    if number % 3 == 0:
        return np.asarray(cv2.GaussianBlur(patch, (0, 0), generator.uniform(0.5, 3)), np.uint8)
    if number % 3 == 1:
        noisy = patch + generator.normal(0, generator.uniform(1, 12), patch.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    return (patch * generator.uniform(0.4, 0.95)).astype(np.uint8)


def pairs_of(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the pairs in a folder, for ever."""
    references = sorted(folder.glob("*-reference.png"))
    for reference in cycle(references):
        yield reference, reference.with_name(reference.name.replace("reference", "candidate"))


def peak(folder: Path, count: int, context: str) -> float:
    """Return the peak memory in MiB of a process of its own that scores pairs."""
    return float(_run([__file__, "score", str(folder), str(count), context]))


def _command(module: str, *arguments: object) -> None:
    _run(["-m", module, *map(str, arguments)])


def _run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"failed: {' '.join(arguments)}")
    return done.stdout


if __name__ == "__main__":
    app(["main", *sys.argv[1:]] if sys.argv[1:2] != ["score"] else sys.argv[1:])
