"""Files in half precision and in 8 bits beside float32: agreement, speed, and what bounds it.

The embedded metric's network is converted as `dps-export --precision` does, and both files are run
on the sample's pairs. Then onnxruntime profiles the file in float32: how much of the time its
convolutions take bounds how much faster smaller numbers can make it. One thread; the file runs as
it is stored, as in `dps_infer`, so that nodes keep their names.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime

from benchmarks.quality.runtime_memory import picture
from benchmarks.shared.options import SeedOption
from benchmarks.shared.record import file_input
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_export.lean.agreement import calibration_pairs, measure_agreement
from dps_export.lean.choice import Precision
from dps_export.lean.precision import convolutions, in_precision
from dps_infer.commands.shared.run import say
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import Reduced

SIDES = (64, 256, 512, 1024)
ROUNDS = 9


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One precision beside float32."""

    precision: str
    megabytes: float
    agreement: Reduced
    milliseconds: dict[str, float]
    """A pair, by the side of its images in pixels."""


class Share(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the time of a pair goes in float32, as shares of the time of all nodes."""

    side: int
    network: float
    """Convolutions of the network, the ones that a smaller precision changes."""
    convolutions: float
    """All convolutions, and matrix products."""


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What each precision costs, and where the time goes."""

    megabytes: float
    milliseconds: dict[str, float]
    """In float32, as in `File`."""
    files: list[File]
    shares: list[Share]


def measure(seed: SeedOption = 0) -> Measured:
    """Convert, compare, time and profile."""
    file = read_context_file(embedded.UNIVERSAL)
    info = file.manifest.metric
    whole = onnx.load_model_from_string(file.model.data)
    del whole.metadata_props[:]
    pairs = calibration_pairs(len(info.amounts))
    models = {Precision.fp32: whole}
    agreed: dict[Precision, Reduced] = {}
    for precision in (Precision.fp16, Precision.int8):
        say(NAME, f"{precision.value} beside float32")
        models[precision] = in_precision(whole, precision, pairs)
        agreed[precision] = measure_agreement(whole, models[precision], info, threads=1)
    say(NAME, "timing and profiling")
    feeds = {side: _feeds(side, len(info.amounts), seed) for side in SIDES}
    times = _times({name: model.SerializeToString() for name, model in models.items()}, feeds)
    files = [
        File(
            precision=precision.stated,
            megabytes=models[precision].ByteSize() / 1e6,
            agreement=agreement,
            milliseconds=times[precision],
        )
        for precision, agreement in agreed.items()
    ]
    figures = Figures(
        megabytes=whole.ByteSize() / 1e6,
        milliseconds=times[Precision.fp32],
        files=files,
        shares=[_profiled(whole, side, given) for side, given in feeds.items()],
    )
    return Measured(figures, {"context": file_input(embedded.UNIVERSAL)})


def tables(figures: Figures) -> dict[str, Table]:
    """Return the agreement, the times, and the profile."""
    agreement = Table(
        ("", "2AFC", "order", "distance, largest", "mean", "amounts, largest", "mean", "graph"),
        [
            (
                one.precision,
                f"{one.agreement.two_afc:.4f} ({one.agreement.two_afc_float32:.4f})",
                f"{one.agreement.order:.4f} ({one.agreement.order_float32:.4f})",
                f"{one.agreement.distance.largest:.2g}",
                f"{one.agreement.distance.mean:.2g}",
                f"{one.agreement.amounts.largest:.2g}",
                f"{one.agreement.amounts.mean:.2g}",
                f"{one.megabytes:.2f} MB ({figures.megabytes:.2f})",
            )
            for one in figures.files
        ],
    )
    speed = Table(
        ("", *(f"{side} x {side}" for side in SIDES)),
        [
            ("float32", *(f"{figures.milliseconds[str(side)]:.0f} ms" for side in SIDES)),
            *(
                (one.precision, *(f"{one.milliseconds[str(side)]:.0f} ms" for side in SIDES))
                for one in figures.files
            ),
            (
                "the network's convolutions",
                *(f"{100 * one.network:.1f} %" for one in figures.shares),
            ),
            (
                "all convolutions and matrix products",
                *(f"{100 * one.convolutions:.1f} %" for one in figures.shares),
            ),
            (
                "at most, with a network that takes no time",
                *(f"{1 / (1 - one.network):.2f} x" for one in figures.shares),
            ),
        ],
    )
    return {"": agreement, "speed": speed}


def _feeds(side: int, columns: int, seed: int) -> dict[str, Any]:
    wide = picture((side, side + 3), seed)
    images = [np.ascontiguousarray(wide[None, :, left : left + side]) for left in (0, 3)]
    importance = np.ones(columns, np.float32)
    return {"reference": images[0], "distorted": images[1], IMPORTANCE: importance}


def _session(model: bytes, profile: str | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if profile is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _times(
    models: dict[Precision, bytes], feeds: dict[int, dict[str, Any]]
) -> dict[Precision, dict[str, float]]:
    """Return milliseconds a pair, optimized by onnxruntime; all models run alternately."""
    sessions = {name: _session(model) for name, model in models.items()}
    found: dict[Precision, dict[str, float]] = {name: {} for name in models}
    for side, given in feeds.items():
        seconds: dict[Precision, list[float]] = {name: [] for name in models}
        for number in range(ROUNDS + 1):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run(None, given)
                # The first runs set up memory.
                if number:
                    seconds[name].append(time.perf_counter() - start)
        for name, times in seconds.items():
            found[name][str(side)] = 1000 * statistics.median(times)
    return found


def _profiled(model: onnx.ModelProto, side: int, feeds: dict[str, Any]) -> Share:
    """Return where onnxruntime's own profile of the runs says the time goes."""
    with tempfile.TemporaryDirectory() as folder:
        session = _session(model.SerializeToString(), str(Path(folder) / "profile"))
        for _ in range(ROUNDS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    network = set(convolutions(model))
    totals = {"all": 0, "network": 0, "convolutions": 0}
    for event in events:
        name, ending, _ = event["name"].rpartition("_kernel_time")
        if event.get("cat") != "Node" or not ending:
            continue
        totals["all"] += event["dur"]
        totals["network"] += event["dur"] * (name in network)
        totals["convolutions"] += event["dur"] * (
            event["args"]["op_name"] in ("Conv", "Gemm", "MatMul")
        )
    return Share(
        side=side,
        network=totals["network"] / totals["all"],
        convolutions=totals["convolutions"] / totals["all"],
    )
