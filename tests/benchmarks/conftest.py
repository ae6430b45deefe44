"""Fixtures: a folder of small images, and ``python -m benchmarks`` run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# Benchmarks are not installed: they are imported from the checkout.
sys.path.insert(0, str(ROOT))

from benchmarks.shared.record import Record, read_record  # noqa: E402

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def images_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of coarse color patches with grain, 72 x 72 pixels."""
    folder = tmp_path_factory.mktemp("data") / "patches"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(6):
        coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (72, 72), interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


@pytest.fixture
def cli(run_main) -> Run:
    """Run the command line: exit code, stdout and stderr."""
    return lambda *arguments: run_main("benchmarks.__main__", *arguments)


@pytest.fixture
def measured(cli, tmp_path) -> Callable[..., Record]:
    """Run a benchmark, and return its record."""

    def run(name: str, *arguments: object) -> Record:
        path = tmp_path / "records" / f"{name}.json"
        code, out, err = cli(name, *arguments, "--record", path)
        assert code == 0, err
        assert out.strip(), "a benchmark prints its table"
        return read_record(path)

    return run
