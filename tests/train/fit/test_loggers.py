"""Logs of a training: their files, and the errors about missing packages and folders."""

from __future__ import annotations

import csv

import pytest

from dps_infer.errors import UsageError
from dps_train.fit.end_to_end.loggers import open_logger


def test_csv_holds_every_step_at_once(tmp_path):
    log = open_logger("csv", tmp_path)
    log(10, {"loss": 0.5})
    log(20, {"loss": 0.25})
    (path,) = tmp_path.rglob("*.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["step"], float(row["loss"])) for row in rows] == [("10", 0.5), ("20", 0.25)]


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboard")
    log = open_logger("tensorboard", tmp_path)
    log(10, {"loss": 0.5})
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_no_logger_logs_nothing(tmp_path):
    assert open_logger(None, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [("stdout", True, "'stdout'.*csv, tensorboard, wandb"), ("csv", False, "folder")],
)
def test_logs_that_cannot_be_kept(tmp_path, name, folder, message):
    with pytest.raises(UsageError, match=message):
        open_logger(name, tmp_path if folder else None)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", False)
    with pytest.raises(UsageError, match="pip install wandb"):
        open_logger("wandb", tmp_path)
