"""Fixtures: a folder of small images, tiny trainings, a run folder, and the command line."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from train_helpers import (
    Outcome,
    StandIns,
    instead_of_the_real,
    measured_quickly,
    write_images,
    write_stand_ins,
)

from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import parse_ranking
from dps_train.distortions.paper import NAMES
from dps_train.fit.run_folder import save_run
from dps_train.fit.settings import Settings
from dps_train.fit.training import Trained, train
from dps_train.model.embedded import embedded_backbone, embedded_metric

REAL_WEIGHTS = (embedded_backbone.WEIGHTS, embedded_metric.WEIGHTS, embedded_metric.PRESENCE)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    """Files with random weights for the embedded metric."""
    return write_stand_ins(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def _embedded_metric(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the stand-in as the embedded metric, unless a test uses `real_weights`.

    So tests of the code do not depend on the weights.
    """
    if "real_weights" in request.fixturenames:
        yield
        return
    with instead_of_the_real(request.getfixturevalue("stand_ins")):
        yield


@pytest.fixture(autouse=True)
def _measured_quickly() -> Iterator[None]:
    with measured_quickly():
        yield


@pytest.fixture
def real_weights() -> None:
    """The embedded metric that ships with the package, for tests of its quality."""
    for path in REAL_WEIGHTS:
        if not path.is_file():
            pytest.skip(f"there is no {path.name}: make it with python -m dps_train.pretrain")


@pytest.fixture(scope="session")
def images_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "leaves")


@pytest.fixture(scope="session")
def tiny_settings(images_folder: Path) -> Settings:
    return Settings(
        context=ranking_context(parse_ranking("3,1=5,0", NAMES)),
        data=str(images_folder),
        pairs=20,
        epochs=1,
        device="cpu",
    )


@pytest.fixture(scope="session")
def trained(tiny_settings: Settings, stand_ins: StandIns) -> Trained:
    """The embedded metric, adapted."""
    with instead_of_the_real(stand_ins), measured_quickly():
        return train(tiny_settings, "tiny")


@pytest.fixture(scope="session")
def trained_from_scratch(tiny_settings: Settings, stand_ins: StandIns) -> Trained:
    with instead_of_the_real(stand_ins), measured_quickly():
        return train(dataclasses.replace(tiny_settings, start="scratch"), "tiny")


@pytest.fixture
def run_folder(trained: Trained, tmp_path: Path) -> Path:
    """A fresh run folder that the test may spoil."""
    folder = tmp_path / "runs" / "tiny"
    save_run(folder, trained, settings={"pairs": 20, "epochs": 1})
    return folder


@pytest.fixture
def cli(run_main):
    """Run `dps-train`, or another module's `main`, in this process."""
    return lambda *arguments, module="dps_train.cli": Outcome(*run_main(module, *arguments))
