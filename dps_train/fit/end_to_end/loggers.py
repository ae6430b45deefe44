"""Log the steps of an end-to-end training to a CSV file, TensorBoard, or W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dps_infer.errors import UsageError
from dps_train.fit.settings import LOGGERS

PROJECT = "dps-train"


class StepLog:
    """A log of training steps; see `open_logger`.

    Args:
        logger: one of Lightning's loggers.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def __call__(self, step: int, values: dict[str, float]) -> None:
        """Write the figures of a step to disk."""
        self.logger.log_metrics(values, step)
        self.logger.save()


def open_logger(name: str | None, folder: Path | None) -> StepLog | None:
    """Return a log in a folder, or None without a name.

    Args:
        name: one of `LOGGERS`.
        folder: for ``metrics.csv``, or the files of TensorBoard or W&B.

    Raises:
        UsageError: the logger is unknown, its package or its folder is missing.
    """
    if name is None:
        return None
    if name not in LOGGERS:
        raise UsageError(f"unknown logger {name!r}: expected one of {', '.join(LOGGERS)}")
    if folder is None:
        raise UsageError(f"the {name} logger needs a folder to write in: name one")
    try:
        return StepLog(_logger(name, folder))
    except ModuleNotFoundError:
        raise UsageError(
            f"the {name} logger needs a package that is not installed: pip install {name}, or "
            "take another --logger"
        ) from None


def _logger(name: str, folder: Path) -> Any:
    if name == "csv":
        from lightning.fabric.loggers.csv_logs import CSVLogger

        return CSVLogger(folder, name="", version="log")
    if name == "tensorboard":
        from lightning.fabric.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="log")
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project=PROJECT, save_dir=folder)
