"""Speed of the embedded backbone beside SqueezeNet 1.1, in onnxruntime on the CPU.

Both networks are exported with the layers that a metric reads, and run alternately, so that other
work on the machine slows both alike. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import statistics
import time
from typing import Annotated

import msgspec
import numpy as np
import onnxruntime
import torch
import typer

from benchmarks.shared.options import SeedOption, ThreadsOption
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_train.model.backbone.backbones import Backbone

EMBEDDED, PEER = "embedded", "squeezenet1_1"
SIZES = (64, 256)
BATCHES = (1, 16)
UNTIMED = 3
"""First runs, which allocate memory."""


class Times(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Median milliseconds of one run of each network."""

    size: int
    batch: int
    embedded: float
    squeezenet1_1: float


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """Times by size and batch."""

    times: list[Times]


def measure(
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each network.")] = 60,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Time both networks at every size and batch."""
    torch.manual_seed(seed)
    times = [found for size in SIZES for found in _times(size, rounds, threads, seed)]
    return Measured(Figures(times), {})


def tables(figures: Figures) -> dict[str, Table]:
    """Return the medians and their ratio."""
    columns = ("side", "images", "embedded, ms", "SqueezeNet 1.1, ms", "times as fast")
    rows = [
        (
            f"{row.size}",
            f"{row.batch}",
            f"{row.embedded:.2f}",
            f"{row.squeezenet1_1:.2f}",
            f"{row.squeezenet1_1 / row.embedded:.1f}",
        )
        for row in figures.times
    ]
    return {"": Table(columns, rows, "median time of a run")}


def _times(size: int, rounds: int, threads: int, seed: int) -> list[Times]:
    sessions = {name: _session(name, size, threads) for name in (EMBEDDED, PEER)}
    times = []
    for batch in BATCHES:
        images = np.random.default_rng(seed).random((batch, 3, size, size), np.float32)
        seconds: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(UNTIMED + rounds):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run(None, {"images": images})
                seconds[name].append(time.perf_counter() - start)
        median = {
            name: 1000 * statistics.median(values[UNTIMED:]) for name, values in seconds.items()
        }
        times.append(Times(size=size, batch=batch, **median))
    return times


def _session(name: str, size: int, threads: int) -> onnxruntime.InferenceSession:
    """Export a network for images of one size, and open it."""
    program = torch.onnx.export(
        Backbone(name),
        (torch.zeros(2, 3, size, size),),
        dynamo=True,
        input_names=["images"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
