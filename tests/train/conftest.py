"""Fixtures: a folder of small images, a tiny training, its run folder, and the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from train_helpers import Outcome, write_images

from dps_infer.ranking import parse_ranking
from dps_train.contexts import ranking_context
from dps_train.distortions import NAMES
from dps_train.runs import save_run
from dps_train.training import Settings, Trained, train


@pytest.fixture(scope="session")
def images_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "leaves")


@pytest.fixture(scope="session")
def tiny_settings(images_folder: Path) -> Settings:
    return Settings(
        context=ranking_context(parse_ranking("3,1=5,0", NAMES)),
        data=str(images_folder),
        pairs=200,
        epochs=1,
        device="cpu",
    )


@pytest.fixture(scope="session")
def trained(tiny_settings: Settings) -> Trained:
    return train(tiny_settings, "tiny")


@pytest.fixture
def run_folder(trained: Trained, tmp_path: Path) -> Path:
    """A run folder of one's own, to spoil."""
    folder = tmp_path / "runs" / "tiny"
    save_run(folder, trained, settings={"pairs": 200, "epochs": 1})
    return folder


@pytest.fixture
def cli(run_main):
    """Run `dps-train`, or another module's `main`, in this process."""
    return lambda *arguments, module="dps_train.cli": Outcome(*run_main(module, *arguments))
