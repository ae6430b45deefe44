"""How fast the embedded backbone is beside SqueezeNet 1.1, in onnxruntime on the CPU.

    python benchmarks/backbone_speed.py

Both are frozen with the layers that a metric reads, and run in turn, so that what else
the machine does hits both alike. Speed does not depend on weights: they are random.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Annotated

import numpy as np
import onnxruntime
import torch
import typer
from rich.console import Console
from rich.table import Table

from dps_train.model.backbones import Backbone

EMBEDDED, PEER = "embedded", "squeezenet1_1"
SIZES = (64, 256)
BATCHES = (1, 16)
UNTIMED = 3
"""First runs, which allocate."""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each, in turn.")] = 60,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time both networks at every size and batch; medians, and their ratio."""
    rows = [
        {"size": size, "batch": batch, **times}
        for size in SIZES
        for batch, times in _times(size, rounds, threads).items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("side", "batch", f"{EMBEDDED}, ms", f"{PEER}, ms", "times as fast")
    for row in rows:
        milliseconds = (f"{row[name]:.2f}" for name in (EMBEDDED, PEER))
        table.add_row(str(row["size"]), str(row["batch"]), *milliseconds, f"{row['ratio']:.2f}")
    Console().print(table)


def _times(size: int, rounds: int, threads: int) -> dict[int, dict[str, float]]:
    """Return, per batch, both medians in milliseconds and how many times as fast ours is."""
    sessions = {name: _session(name, size, threads) for name in (EMBEDDED, PEER)}
    times = {}
    for batch in BATCHES:
        images = np.random.default_rng(0).random((batch, 3, size, size), np.float32)
        seconds: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(UNTIMED + rounds):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run(None, {"images": images})
                seconds[name].append(time.perf_counter() - start)
        median = {
            name: 1000 * statistics.median(values[UNTIMED:]) for name, values in seconds.items()
        }
        times[batch] = {**median, "ratio": median[PEER] / median[EMBEDDED]}
    return times


def _session(name: str, size: int, threads: int) -> onnxruntime.InferenceSession:
    """Freeze a network at one size, and open it."""
    program = torch.onnx.export(
        Backbone(name),
        (torch.zeros(2, 3, size, size),),
        dynamo=True,
        input_names=["images"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


if __name__ == "__main__":
    typer.run(main)
