"""Fixtures: metrics with and without kinds, each traced once, their files, and the command line.

To trace a metric of size and presence takes minutes, so that every file here is made from one of
two models.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import onnx
import pytest

# Folders of test files are no import paths. In the second there are metrics of random weights.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

from export_helpers import Exported, already_frozen
from train_helpers import (
    StandIns,
    instead_of_the_real,
    measured_quickly,
    with_importances,
    write_images,
    write_stand_ins,
)

from dps_export.export import export, export_run
from dps_export.freeze import freeze
from dps_infer.contexts.context import Context, ranking_context
from dps_infer.contexts.ranking import parse_ranking
from dps_infer.model.manifest import Calibration, DataInfo, Draws, MetricInfo
from dps_train.contexts import AMOUNTS
from dps_train.distortions.paper import NAMES
from dps_train.fit.run_folder import load_run, save_run
from dps_train.fit.settings import Settings
from dps_train.fit.training import train
from dps_train.measure.anchor_ladders import anchor_ladders
from dps_train.model.description import metric_info
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    """Files with random weights for the embedded metric, which runs start from."""
    return write_stand_ins(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def run_folder(stand_ins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one amount, whose metric is traced in seconds."""
    base = tmp_path_factory.mktemp("export")
    settings = Settings(
        context=ranking_context(parse_ranking("3,1=5,0", NAMES)),
        data=str(write_images(base / "images")),
        variant="lin",
        epochs=1,
        device="cpu",
    )
    folder = base / "runs" / "tiny"
    with instead_of_the_real(stand_ins), measured_quickly():
        save_run(folder, train(settings, "tiny"), settings={"epochs": 1})
    return folder


@pytest.fixture(scope="session")
def metrics(run_folder: Path) -> dict[str, Metric]:
    """One metric of one amount, and the embedded one.

    Its weights are the shipped ones: with random weights, it would report turns and shifts of
    pictures that did not move, whose logarithms are rounding errors.
    """
    return {"scalar": load_run(run_folder)[0], "pair": with_importances(load_universal())}


@pytest.fixture(scope="session")
def models(metrics: dict[str, Metric]) -> dict[str, onnx.ModelProto]:
    return {name: freeze(metric) for name, metric in metrics.items()}


@pytest.fixture(scope="session")
def files(
    run_folder: Path,
    metrics: dict[str, Metric],
    models: dict[str, onnx.ModelProto],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Exported]:
    """A plain file of each metric, and a universal one of kinds, each in its own folder."""
    metric = metrics["pair"]
    info = info_of(metric)
    with measured_quickly():
        ladders = anchor_ladders(metric)
    paths = {
        name: tmp_path_factory.mktemp(name) / "ctx.onnx"
        for name in ("scalar-plain", "pair-plain", "pair-universal")
    }
    with already_frozen(models["scalar"]):
        export_run(run_folder, paths["scalar-plain"])
    with already_frozen(models["pair"]):
        export(metric, info, paths["pair-plain"], calibration=some_calibration(), ladders=ladders)
    with already_frozen(models["pair"]):
        universal = without_context(info)
        export(metric, universal, paths["pair-universal"], draws=some_draws(), ladders=ladders)
    return {
        name: Exported(path, metrics[name.partition("-")[0]], name.endswith("universal"))
        for name, path in paths.items()
    }


@pytest.fixture(scope="session")
def exported(files: dict[str, Exported]) -> Path:
    """The run's context file."""
    return files["scalar-plain"].path


@pytest.fixture
def cli(run_main):
    """Run `dps-export` in this process; gives code, out and err."""

    def run(*arguments: object) -> SimpleNamespace:
        code, out, err = run_main("dps_export.cli", *arguments)
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def info_of(metric: Metric) -> MetricInfo:
    """Describe a metric that was never trained."""
    data = DataInfo(source="none", images=1, sha256="0" * 64)
    info = metric_info(metric, name="random", training_data=data, held_out_data=data, seed=0)
    importances = dict(zip(AMOUNTS, metric.head.importances.tolist(), strict=True))
    return info.in_context(Context(importances), name="random", scores=None)


def without_context(info: MetricInfo) -> MetricInfo:
    """Describe the same metric as a universal one."""
    return msgspec.structs.replace(info, ranking=None, importances=None, scores=None)


def some_calibration() -> Calibration:
    return Calibration(
        levels=[0.0, 0.5, 1.0], distances={name: [0.1, 1.0, 4.0] for name in NAMES}, images=1
    )


def some_draws() -> Draws:
    return Draws(
        images=1,
        per_image=2,
        amounts={name: [[0.5] * len(AMOUNTS), [1.5] * len(AMOUNTS)] for name in NAMES},
        true_amounts={name: [0.5, 1.5] for name in NAMES},
        uniform={name: [0.2, 0.3] for name in NAMES},
    )
