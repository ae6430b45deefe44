"""OpenVINO runs the packaged file, as docs/runtimes.md shows, and agrees with onnxruntime."""

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

pytest.importorskip("openvino", reason="needs the package openvino")

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"

TIED, MOST = 5e-4, 0.98
"""Largest difference in a cell where two improbable kinds tie, so that rounding decides how much
there is of the second one; and the share of the values of cells that agree as closely as
distances."""


@pytest.fixture(scope="module")
def openvino() -> runtimes.Run:
    """The model that the page's code compiles: to compile takes seconds."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    reference, distorted = next(runtimes.cases([(64, 64)], seed=0))
    names = {"reference": reference, "distorted": distorted}
    exec(compile(block, str(PAGE), "exec"), names)
    expected = runtimes.feeds_of(reference, distorted)
    assert list(names["feeds"]) == list(expected)
    np.testing.assert_array_equal(names["importance"], expected["importance"])
    assert len(names["found"]["distance"]) == len(distorted)
    return names["model"]


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
            within = TIED if name == "cells" else runtimes.TOLERANCE
            assert runtimes.difference(found[name], value) <= within, name
            assert runtimes.difference(found[name], value, MOST) <= runtimes.TOLERANCE, name


@pytest.mark.parametrize("size", runtimes.SIZES)
def test_identical_images_are_0_apart_in_openvino(openvino, size):
    _, images = next(runtimes.cases([size], seed=0))
    found = openvino(runtimes.feeds_of(images[:1], images[:1].copy()))
    for name in runtimes.MEASURED:
        assert np.all(found[name] == 0), name
