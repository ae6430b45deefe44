"""What `dps-train evaluate` measures: a run, the embedded metric, or a context file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from dps_infer.contexts.context import Context
from dps_infer.errors import UsageError
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_train.contexts import measured_context
from dps_train.data.crops import TRAINING_SIZE
from dps_train.distortions.paper import NAMES
from dps_train.evaluate.context_file import FileMetric, check_known, load_file_metric
from dps_train.fit.run_folder import load_run
from dps_train.fit.runs import newest_run
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.heads import AdditiveHead
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE

EMBEDDED = Path("embedded")
SUFFIX = ".onnx"


@dataclass(frozen=True)
class Subject:
    """A metric to measure.

    Attributes:
        metric: in PyTorch, or a context file.
        name: for people.
        head: its own, called by its variant.
        own: the context that it was adapted to; None for a universal one, which has none.
        tied: why it cannot be measured in other contexts than its own; None where it can.
        size: side in pixels of the images to measure it on.
    """

    metric: Metric | FileMetric
    name: str
    head: str
    own: Context | None
    tied: str | None
    size: int


def load_subject(
    path: Path | None, *, view: View | None, device: Device, names: Sequence[str] = NAMES
) -> Subject:
    """Load what a path names.

    Args:
        path: a run folder, a context file, or `EMBEDDED`; None takes the newest run.
        view: how a context file looks at images; see `load_file_metric`.
        device: where a context file is run.
        names: of the distortions to measure it with.

    Raises:
        UsageError: a view is asked for, and it is no context file; or it knows other distortions.
        DpsError: it is missing, or damaged.
    """
    if names_file(path):
        return _file(load_file_metric(path, view=view, device=device, names=names), path)
    if view is not None:
        raise UsageError("--view is for context files: a run is measured on whole images")
    if path == EMBEDDED:
        metric = load_universal()
        return Subject(metric, str(path), ADDITIVE, None, None, _size(metric))
    folder = newest_run() if path is None else path
    metric, manifest = load_run(folder)
    check_known(str(folder), manifest.metric, names)
    variant = manifest.metric.variant
    tied = None
    if not isinstance(metric.head, AdditiveHead):
        tied = f"the head of a {variant} run tells no kinds of change apart"
    own = measured_context(manifest.metric)
    return Subject(metric, str(folder), variant, own, tied, _size(metric))


def names_file(path: Path | None) -> TypeGuard[Path]:
    """Return whether a path names a context file, and not a run folder or `EMBEDDED`."""
    if path is None or path == EMBEDDED:
        return False
    return path.suffix.lower() == SUFFIX or path.is_file()


def _file(metric: FileMetric, path: Path) -> Subject:
    own, tied = None, None
    if not metric.universal:
        own, tied = measured_context(metric.info), "the context of this file is frozen into it"
    return Subject(metric, str(path), metric.info.variant, own, tied, metric.size)


def _size(metric: Metric) -> int:
    return metric.preprocess.size or TRAINING_SIZE
