"""Fixtures: a tiny context file, an image, and the command line run in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# pytest imports test files by path (importlib mode), so their folder is not on the import path.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "images"))

from infer_helpers import Outcome, make_model, write

from dps_infer import Metric


@pytest.fixture(scope="session")
def context_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("context") / "fake.onnx", make_model())


@pytest.fixture(scope="session")
def universal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model(universal=True)
    return write(tmp_path_factory.mktemp("context") / "universal.onnx", model)


@pytest.fixture(scope="session")
def context(context_path: Path) -> Metric:
    return Metric.load(context_path, device="cpu", threads=1)


@pytest.fixture(scope="session")
def universal(universal_path: Path) -> Metric:
    """A universal file, loaded in some context."""
    return Metric.load(universal_path, ranking="color,rotate,blur", device="cpu", threads=1)


@pytest.fixture
def photo() -> np.ndarray:
    """Smooth, so that JPEG changes it little; uint8 RGB [24, 32, 3]."""
    rows, columns = np.mgrid[0:24, 0:32]
    return np.stack([rows * 10, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)


@pytest.fixture
def cli(run_main):
    """Run `dps-infer` in this process."""
    return lambda *arguments: Outcome(*run_main("dps_infer.cli", *arguments))
