"""The check for GPU machines; without CUDA, the CPU takes its place."""

from __future__ import annotations

import msgspec
import numpy as np
import onnxruntime
import pytest

from benchmarks.shared.loss_steps import MODES
from benchmarks.speed import gpu
from dps_infer.errors import DeviceError
from dps_infer.runtime.device import Device

has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(gpu, "SHAPES", ((64, 64), (40, 47)))
    monkeypatch.setattr(gpu, "BATCHES", (1, 3))
    monkeypatch.setattr(gpu, "CANDIDATES", 3)
    monkeypatch.setattr(gpu, "SIDES", (64, 48))
    monkeypatch.setattr(gpu, "BATCH", 2)
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    monkeypatch.setattr(gpu, "LOSS_BATCH", 2)
    monkeypatch.setattr(gpu, "LOSS_SIDE", 64)


def test_the_cpu_in_place_of_cuda_agrees_with_itself(small, monkeypatch, measured):
    monkeypatch.setattr(gpu, "TESTED", Device.cpu)
    # Of all cores, as the other side: sums of several threads round in another way.
    record = measured("gpu", "--pairs", 4)
    figures = record.read_figures(gpu.Figures)
    assert record.inputs["context"].name == "universal.onnx"
    assert figures.identical == 0
    assert [one.output for one in figures.agreement] == list(gpu.OUTPUTS)
    # Other numbers of threads, and batches of other sizes, add up in another order.
    assert all(max(one.from_cpu, one.from_single) < 1e-3 for one in figures.agreement)
    assert [(row.device, row.filled, row.bound) for row in figures.speed] == [
        ("CPU", None, None),
        ("CUDA", False, False),
        ("CUDA", False, True),
        ("CUDA", True, False),
        ("CUDA", True, True),
    ]
    assert [row.mode for row in figures.loss] == list(MODES)
    for row in figures.loss:
        assert (row.value, row.gradient, row.mebibytes) == (0, 0, None)
        assert min(row.cpu, row.cuda) > 0
    assert set(figures.speed[0].rates) == {gpu.EVEN, gpu.UNEVEN, gpu.SHARED, gpu.FILES}


@pytest.mark.skipif(has_cuda, reason="there is CUDA")
def test_without_cuda_it_says_so_in_one_line(cli, tmp_path):
    code, out, err = cli("gpu", "--record", tmp_path / "gpu.json")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "CUDA was asked for" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not has_cuda, reason="needs an NVIDIA GPU and onnxruntime-gpu")
def test_cuda_agrees_with_the_cpu(small, measured):
    gpu.check(measured("gpu", "--pairs", 4).read_figures(gpu.Figures))


def figures(**changes: float) -> gpu.Figures:
    values = {"identical": 0.0, "from_cpu": 1e-5, "from_single": 1e-5, **changes}
    agreement = gpu.Agreement(
        output="maps",
        from_cpu=values["from_cpu"],
        from_single=values["from_single"],
    )
    return gpu.Figures(
        gpu="none", identical=values["identical"], agreement=[agreement], speed=[], memory=None
    )


def test_differences_are_refused():
    gpu.check(figures())
    with pytest.raises(DeviceError, match="identical images"):
        gpu.check(figures(identical=1e-9))
    for name in ("from_cpu", "from_single"):
        for value in (0.011, np.nan):
            with pytest.raises(DeviceError, match="maps differ by"):
                gpu.check(figures(**{name: value}))


def test_a_loss_that_differs_is_refused():
    for value in (0.011, np.nan):
        one = gpu.LossFigures(
            mode="general", value=value, gradient=0, cpu=1, cuda=1, mebibytes=None
        )
        with pytest.raises(DeviceError, match=r"the loss \(general\) differs by"):
            gpu.check(msgspec.structs.replace(figures(), loss=[one]))


def test_difference_is_relative_above_a_hundredth():
    expected = np.array([2, 0.5, 0], np.float32)
    assert gpu.difference(expected, expected) == 0
    assert gpu.difference(expected + np.float32([0.02, 0, 0]), expected) == pytest.approx(0.01)
    assert gpu.difference(expected + np.float32([0, 0, 1e-4]), expected) == pytest.approx(0.01)
    assert np.isnan(gpu.difference(expected + np.float32([0, np.nan, 0]), expected))


def test_images_of_a_seed_are_the_same_and_some_pairs_identical():
    one, two = (gpu.image_batch(3, 8, (40, 47)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    references, copies = one
    assert references.shape == copies.shape == (8, 40, 47, 3)
    same = [np.array_equal(a, b) for a, b in zip(references, copies, strict=True)]
    assert same == [False, False, False, True] * 2
