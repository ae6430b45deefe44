"""The metric that `dps-train evaluate` measures: a run, the embedded metric, or a context file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from dps_infer.contexts.context import Context
from dps_infer.runtime.device import Device
from dps_train.contexts import measured_context
from dps_train.data.crops import TRAINING_SIZE
from dps_train.distortions.paper import NAMES
from dps_train.evaluate.context_file import FileMetric, check_known, load_file_metric
from dps_train.fit.run_folder import load_run
from dps_train.fit.runs import newest_run
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE

EMBEDDED = Path("embedded")
SUFFIX = ".onnx"


@dataclass(frozen=True)
class Target:
    """A metric to measure.

    Attributes:
        metric: in PyTorch, or a context file.
        name: its name for people.
        head: name of its head: its variant.
        context: the context that it was adapted to; None for a universal metric.
        why_fixed: the reason why it cannot be measured in other contexts; None if it can.
        size: side in pixels of the images to measure it on.
    """

    metric: Metric | FileMetric
    name: str
    head: str
    context: Context | None
    why_fixed: str | None
    size: int


def load_target(path: Path | None, *, device: Device, names: Sequence[str] = NAMES) -> Target:
    """Load a metric to measure.

    Args:
        path: a run folder, a context file, or `EMBEDDED`; None takes the newest run.
        device: where a context file runs.
        names: the distortions to measure it with.

    Raises:
        UsageError: the metric has other distortions.
        DpsError: the metric is missing or damaged.
    """
    if names_file(path):
        file = load_file_metric(path, device=device, names=names)
        context, why_fixed = None, None
        if not file.universal:
            context = measured_context(file.info)
            why_fixed = "the context of this file is frozen into it"
        return Target(file, str(path), file.info.variant, context, why_fixed, file.size)
    if path == EMBEDDED:
        embedded = load_universal()
        return Target(embedded, str(path), ADDITIVE, None, None, _size(embedded))
    folder = newest_run() if path is None else path
    metric, manifest = load_run(folder)
    info = manifest.metric
    check_known(str(folder), info, names)
    why_fixed = None
    if not metric.head.names_kinds:
        why_fixed = f"the head of a {info.variant} run tells no kinds of change apart"
    context = measured_context(info)
    return Target(metric, str(folder), info.variant, context, why_fixed, _size(metric))


def names_file(path: Path | None) -> TypeGuard[Path]:
    """Return whether a path names a context file, and not a run folder or `EMBEDDED`."""
    if path is None or path == EMBEDDED:
        return False
    return path.suffix.lower() == SUFFIX or path.is_file()


def _size(metric: Metric) -> int:
    return metric.preprocess.size or TRAINING_SIZE
