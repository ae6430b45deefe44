"""Other runtimes beside onnxruntime; those in a browser where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import runtimes
from dps_infer.errors import DpsError
from dps_infer.model import embedded

WEB = "ONNXRUNTIME_WEB"
"""Environment variable that names the folder of the npm package onnxruntime-web."""

SMALL = ((40, 47),)


def figures(identical: float = 0.0, **differences: float) -> runtimes.Figures:
    found = {**dict.fromkeys(runtimes.NAMES, 1e-5), **differences}
    one = runtimes.Agreement(runtime="other", pairs=3, differences=found, identical=identical)
    return runtimes.Figures(agreements=[one])


def test_openvino_is_measured(monkeypatch, measured):
    pytest.importorskip("openvino", reason="needs the package openvino")
    monkeypatch.setattr(runtimes, "SIZES", SMALL)
    record = measured("runtimes")
    found = record.read_figures(runtimes.Figures)
    (openvino,) = found.agreements
    assert record.inputs["context"].name == "universal.onnx"
    assert openvino.runtime.startswith("OpenVINO 20")
    assert openvino.pairs == 5 * len(runtimes.PHOTOGRAPHS)
    assert set(openvino.differences) == set(runtimes.NAMES)


@pytest.mark.parametrize("provider", ["wasm", "webgpu"])
def test_onnxruntime_web_agrees_with_onnxruntime(provider):
    pytest.importorskip("playwright", reason="needs the package playwright")
    from benchmarks.shared.browser_runtime import NoBrowserError, open_in_browser

    package = os.environ.get(WEB)
    if package is None:
        pytest.skip(f"needs the folder of the npm package onnxruntime-web in {WEB}")
    expected = runtimes.onnxruntime_cpu(embedded.UNIVERSAL)
    try:
        with open_in_browser(embedded.UNIVERSAL, Path(package), provider) as browser:
            found = runtimes.compare(
                provider,
                expected,
                lambda feeds: browser.run(runtimes.NAMES, feeds),
                runtimes.cases(SMALL, seed=0),
            )
    except NoBrowserError as error:
        pytest.skip(str(error))
    runtimes.check(runtimes.Figures(agreements=[found]))


def test_a_folder_without_the_package_is_refused(tmp_path):
    pytest.importorskip("playwright", reason="needs the package playwright")
    from benchmarks.shared.browser_runtime import package_version

    for content in (None, "{", '{"name": "other", "version": "1"}'):
        if content is not None:
            (tmp_path / "package.json").write_text(content)
        with pytest.raises(DpsError, match="is not the npm package onnxruntime-web"):
            package_version(tmp_path)


def test_differences_are_refused():
    runtimes.check(figures(cells=1.0))
    with pytest.raises(DpsError, match="identical images give 1e-09"):
        runtimes.check(figures(identical=1e-9))
    for value in (1.1e-4, np.nan):
        with pytest.raises(DpsError, match="amounts differs by"):
            runtimes.check(figures(amounts=value))


def test_difference_is_relative_above_1():
    expected = np.float32([2, 0.5])
    assert runtimes.difference(expected, expected) == 0
    assert runtimes.difference(expected + np.float32([0, 0.5]), expected) == 0.25
    assert np.isnan(runtimes.difference(expected + np.float32([0, np.nan]), expected))
    with pytest.raises(DpsError, match="shape"):
        runtimes.difference(expected[:1], expected)


def test_images_of_a_seed_are_the_same_and_all_differ():
    one, two = (list(runtimes.cases(SMALL, seed=3)) for _ in range(2))
    assert [len(reference) for reference, _ in one] == [1, 2] * len(runtimes.PHOTOGRAPHS)
    for (reference, distorted), again in zip(one, two, strict=True):
        assert np.array_equal(reference, again[0])
        assert np.array_equal(distorted, again[1])
        assert distorted.shape[1:] == reference.shape[1:] == (*SMALL[0], 3)
        for changed, original in zip(distorted, np.broadcast_to(reference, distorted.shape)):  # noqa: B905
            assert np.any(changed != original)
