"""The folder of a study: its description and its results.

* ``study.json``: a `StudyManifest`, everything that determines the results;
* ``metrics/<id>.json``: a `Result` for each metric that is done;
* ``heads/<features>.safetensors``: heads of ``additive``, which all rankings share;
* ``checkpoints/<id>/``: the checkpoint of a ``tune`` or ``scratch`` in training;
* ``logs/<id>/``: logs of their training, if a logger is chosen.

Every file is written under another name and renamed, so that files are complete whenever a study
is killed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file
from dps_infer.model.manifest import DataInfo, WeightsInfo
from dps_train.recipes import field_differences

FORMAT_VERSION = 1

MANIFEST = "study.json"
METRICS, HEADS, CHECKPOINTS, LOGS = "metrics", "heads", "checkpoints", "logs"

Value = str | bool | int | float | None
Values = dict[str, Value]
"""A row of the table, by column."""


class StudyError(DpsError):
    """A folder that holds another study, or a damaged one."""


class StudyManifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that determines the results of a study."""

    format: int = FORMAT_VERSION
    rankings: int
    variants: list[str]
    comparisons: list[str]
    backbones: dict[str, WeightsInfo]
    repetitions: int
    seed: int
    training_data: DataInfo
    """Data of the first repetition, also for `held_out_data`."""
    held_out_data: DataInfo
    settings: dict[str, Value]
    bapps: str | None
    """SHA-256 over all judgements and the names of their images."""
    scores: str | None = None
    """SHA-256 over people's scores and the names of their images."""
    photographs: str | None = None
    """SHA-256 over the photographs of the ladders."""
    device: str
    """Kind of device that networks run on; results differ in their last digits."""
    tools: dict[str, str]


class Result(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The result of one metric."""

    values: Values
    seconds: float
    """Time to train and measure it."""


class StudyFolder:
    """The results of a study on disk; see `open_study`.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def holds(self, metric: str) -> bool:
        """Return whether a metric is done."""
        return self._result(metric).exists()

    def add(self, metric: str, result: Result) -> None:
        """Store the result of a metric, and delete its checkpoint.

        Raises:
            OutputError: the result cannot be written.
        """
        _write(self._result(metric), result)
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)

    def values(self, metric: str) -> Values:
        """Return the row of a metric.

        Raises:
            StudyError: the file of its result is damaged.
        """
        path = self._result(metric)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Result).values
        except (msgspec.MsgspecError, ValueError, RecursionError, OSError) as error:
            raise StudyError(
                f"{path} cannot be read ({error}): delete it, and start the study again"
            ) from None

    def head(self, features_id: str) -> Path:
        """Return the file of the head of ``additive`` on some features."""
        return self.path / HEADS / f"{features_id}.safetensors"

    def checkpoint(self, metric: str) -> Path:
        """Return the folder for the checkpoints of a metric."""
        return self.path / CHECKPOINTS / metric

    def logs(self, metric: str) -> Path:
        """Return the folder for the logs of a metric."""
        return self.path / LOGS / metric

    def _result(self, metric: str) -> Path:
        return self.path / METRICS / f"{metric}.json"


def open_study(path: Path, manifest: StudyManifest) -> StudyFolder:
    """Open the folder of a study, or create it.

    Raises:
        StudyError: the folder holds something else.
        OutputError: the folder cannot be written.
    """
    if _holds_something(path):
        _check(path, manifest)
    else:
        _write(path / MANIFEST, manifest)
    return StudyFolder(path)


def _holds_something(path: Path) -> bool:
    # Names that begin with a dot are temporary files of a study that was killed.
    return path.exists() and (
        not path.is_dir() or any(not entry.name.startswith(".") for entry in path.iterdir())
    )


def _check(path: Path, manifest: StudyManifest) -> None:
    """Check that a folder holds this study."""
    if not (path / MANIFEST).is_file():
        raise StudyError(f"{path} is not a folder of a study: name a new one with --out")
    try:
        there = msgspec.json.decode((path / MANIFEST).read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise StudyError(
            f"{path / MANIFEST} cannot be read ({error}): name another folder with --out"
        ) from None
    different = field_differences(there, msgspec.to_builtins(manifest))
    if different:
        raise StudyError(
            f"{path} holds another study ({'; '.join(different)}): give the same options, or "
            "name another folder with --out"
        )


def _write(path: Path, value: msgspec.Struct) -> None:
    with atomic_file(path, force=True) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
