"""Fixtures: a tiny context file, an image, and the command line run in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from infer_helpers import Outcome, make_model, write


@pytest.fixture(scope="session")
def context_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("context") / "fake.onnx", make_model())


@pytest.fixture
def photo() -> np.ndarray:
    """Smooth, so that JPEG changes it little; uint8 RGB [24, 32, 3]."""
    rows, columns = np.mgrid[0:24, 0:32]
    return np.stack([rows * 10, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)


@pytest.fixture
def cli(run_main):
    """Run `dps-infer` in this process."""
    return lambda *arguments: Outcome(*run_main("dps_infer.cli", *arguments))
