"""The code blocks of docs/python.md run as written."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from infer_helpers import encode

import dps_infer
from dps_infer.model import embedded

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

pytestmark = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Images, videos and tables of the names that the page uses."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.mgrid[0:96, 0:128]
    picture = np.stack([rows * 2, columns, (rows * columns) % 256], axis=2).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), np.uint8)
    images = {
        "reference.png": picture,
        "blurred.png": blurred,
        "shifted.png": np.roll(picture, 9, axis=1),
        "other-size.png": picture[:50].copy(),
        "references/a.png": picture,
        "candidates/a.png": blurred,
        "candidates/b.png": picture,
    }
    for name, pixels in images.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(".png", pixels))
    header = "reference,candidate\n"
    pairs = "reference.png,blurred.png\nreference.png,missing.png\n"
    (tmp_path / "pairs.csv").write_text(header + pairs)
    acceptable = "reference.png,blurred.png\nreference.png,shifted.png\n" * 20
    (tmp_path / "acceptable.csv").write_text(header + acceptable)
    for name, pixels in (("a.avi", picture), ("b.avi", blurred)):
        writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), 5, (128, 96))
        for _ in range(6):
            writer.write(pixels)
        writer.release()
    return tmp_path


def test_every_block_runs(folder, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) > 8
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    out = capsys.readouterr().out
    assert "1 failed: " in out
    assert "1 reference.png 0.0\n" in out
    assert "the sizes differ" in out
    assert names["summary"].errors == 1
    assert names["video"].frames == 3
    assert (folder / "report.html").stat().st_size > 10_000


def test_every_public_function_is_on_the_page():
    text = PAGE.read_text("utf-8")
    public = [
        name
        for name in dps_infer.__all__
        if name[0].islower() or name.endswith("Error") or name in ("ClipPair", "Sampling")
    ]
    assert [name for name in public if name not in text] == []
