"""Fixtures: metrics of both kinds, each traced once, their context files, and the command line.

To trace a metric takes long, so that every file here is made from one of two models.
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
from train_helpers import pair_metric, write_images, write_stand_ins

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
from dps_train.model.description import metric_info
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.metric import Metric


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files with random weights for the embedded metric: those of `pair_metric`."""
    return write_stand_ins(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def run_folder(stand_ins: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for a second: of no worth, but of every part."""
    base = tmp_path_factory.mktemp("export")
    settings = Settings(
        context=ranking_context(parse_ranking("3,1=5,0", NAMES)),
        data=str(write_images(base / "images")),
        start="scratch",
        pairs=1000,
        epochs=3,
        device="cpu",
    )
    folder = base / "runs" / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        for module, path in zip((embedded_backbone, embedded_metric), stand_ins, strict=True):
            patch.setattr(module, "WEIGHTS", path)
        save_run(folder, train(settings, "tiny"), settings={"pairs": 1000, "epochs": 3})
    return folder


@pytest.fixture(scope="session")
def metrics(run_folder: Path) -> dict[str, Metric]:
    """One metric with fixed comparisons and one with the pair encoder."""
    return {"channel": load_run(run_folder)[0], "pair": pair_metric()}


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
    """Plain and universal files of both metrics, each in its own folder."""
    made = {}
    for name, metric in metrics.items():
        info = load_run(run_folder)[1].metric if name == "channel" else info_of(metric)
        for kind in ("plain", "universal"):
            path = tmp_path_factory.mktemp(f"{name}-{kind}") / "ctx.onnx"
            with already_frozen(models[name]):
                if (name, kind) == ("channel", "plain"):
                    export_run(run_folder, path)
                elif kind == "plain":
                    export(metric, info, path, calibration=some_calibration())
                else:
                    export(metric, without_context(info), path, draws=some_draws())
            made[f"{name}-{kind}"] = Exported(path, metric, kind == "universal")
    return made


@pytest.fixture(scope="session")
def exported(files: dict[str, Exported]) -> Path:
    """The run's context file."""
    return files["channel-plain"].path


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
