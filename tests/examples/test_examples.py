"""The examples load and explain themselves; running them in full takes minutes (`make demo`)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads(path, monkeypatch, capsys):
    module = load(path)
    assert module.__doc__
    if not hasattr(module, "main"):
        return
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as leaving:
        module.main()
    assert leaving.value.code == 0
    assert path.name in capsys.readouterr().out


def test_halftone_pairs_are_a_recording(tmp_path, monkeypatch):
    (halftone,) = (path for path in EXAMPLES if path.stem == "halftone_pairs")
    photographs, output = tmp_path / "photographs", tmp_path / "halftone"
    photographs.mkdir()
    ramp = np.tile(np.arange(96, dtype=np.uint8)[:, None, None] * 2, (1, 96, 3))
    assert cv2.imwrite(str(photographs / "ramp.png"), ramp)
    monkeypatch.setattr(sys, "argv", ["halftone_pairs.py", str(photographs), "-o", str(output)])
    load(halftone).main()
    header, *rows = (output / "halftone.csv").read_text(encoding="utf-8").splitlines()
    assert header == "before,after,strength"
    assert len(rows) == 5
    for row in rows:
        before, after, _ = row.split(",")
        first, second = (cv2.imread(str(output / name)) for name in (before, after))
        assert first.shape == second.shape
        assert not np.array_equal(first, second)
