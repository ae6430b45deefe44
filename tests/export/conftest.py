"""Fixtures: a tiny run, its context file, and the command line run in this process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from dps_infer.ranking import parse_ranking
from dps_train.contexts import ranking_context
from dps_train.data.sources import photograph
from dps_train.distortions import NAMES
from dps_train.runs import save_run
from dps_train.training import Settings, train


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for a second: of no worth, but of every part."""
    base = tmp_path_factory.mktemp("export")
    (base / "images").mkdir()
    image = photograph("coffee")
    for number in range(5):
        part = image[60 * number : 60 * number + 120, 90 * number : 90 * number + 150]
        assert cv2.imwrite(str(base / "images" / f"{number}.png"), part[..., ::-1])
    settings = Settings(
        context=ranking_context(parse_ranking("3,1=5,0", NAMES)),
        data=str(base / "images"),
        pairs=1000,
        epochs=3,
        device="cpu",
    )
    folder = base / "runs" / "tiny"
    save_run(folder, train(settings, "tiny"), settings={"pairs": 1000, "epochs": 3})
    return folder


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's context file, made once for all tests."""
    from dps_export.exporting import export_run

    path = tmp_path_factory.mktemp("exported") / "ctx.onnx"
    export_run(run_folder, path)
    return path


@pytest.fixture
def cli(run_main):
    """Run `dps-export` in this process; gives code, out and err."""

    def run(*arguments: object) -> SimpleNamespace:
        code, out, err = run_main("dps_export.cli", *arguments)
        return SimpleNamespace(code=code, out=out, err=err)

    return run
