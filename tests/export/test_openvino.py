"""OpenVINO runs the packaged context file, and computes what onnxruntime does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

# Benchmarks are not installed: they are imported from the checkout.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.quality import runtimes
from dps_infer.model import embedded

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"

pytest.importorskip("openvino", reason="needs the package openvino")

READ_TOLERANCE = 1e-3
"""Of strengths, directions and cells, which people read. Strengths are exponentials, and faint
cells are small numbers whose logarithms enlarge rounding errors."""


@pytest.fixture(scope="module")
def openvino() -> runtimes.Run:
    return runtimes.openvino_cpu(embedded.UNIVERSAL)


@pytest.fixture(scope="module")
def onnxruntime() -> runtimes.Run:
    return runtimes.onnxruntime_cpu(embedded.UNIVERSAL)


@pytest.mark.parametrize("size", runtimes.SIZES)
def test_openvino_agrees_with_onnxruntime(openvino, onnxruntime, size):
    for reference, distorted in runtimes.cases([size], seed=0):
        feeds = runtimes.feeds_of(reference, distorted)
        found, expected = openvino(feeds), onnxruntime(feeds)
        assert np.all(expected["distance"] > 0)
        for name, value in expected.items():
            within = READ_TOLERANCE if name in runtimes.READ else runtimes.TOLERANCE
            assert runtimes.difference(found[name], value) <= within, name


@pytest.mark.parametrize("size", runtimes.SIZES)
def test_identical_images_are_0_apart_in_openvino(openvino, size):
    _, images = next(runtimes.cases([size], seed=0))
    found = openvino(runtimes.feeds_of(images, images.copy()))
    for name in runtimes.MEASURED:
        assert np.all(found[name] == 0), name


def test_python_of_the_page_about_runtimes_runs(onnxruntime, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    reference, distorted = next(runtimes.cases([(64, 64)], seed=0))
    names = {"reference": reference, "distorted": distorted}
    exec(compile(block, str(PAGE), "exec"), names)
    expected = onnxruntime(runtimes.feeds_of(reference, distorted))["distance"]
    assert runtimes.difference(names["found"]["distance"], expected) <= runtimes.TOLERANCE
    assert capsys.readouterr().out
