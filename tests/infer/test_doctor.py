"""The doctor finds the problems of an installation, and survives every broken part."""

from __future__ import annotations

import sys
import types
from importlib import metadata

import pytest

from dps_infer import doctor
from dps_infer.doctor import examine
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.runtime import engine


@pytest.fixture(scope="module")
def healthy() -> doctor.Diagnosis:
    return examine()


def problems(diagnosis: doctor.Diagnosis) -> str:
    """All problems with their advice, one per line."""
    assert not diagnosis.healthy
    return "\n".join(f"{problem.what}: {problem.advice}" for problem in diagnosis.problems)


def test_a_sound_installation_is_healthy(healthy):
    assert healthy.problems == []
    assert healthy.providers[engine.CPU] is None
    assert healthy.self_test["cpu"].identical == 0
    assert healthy.self_test["cpu"].changed > 0
    assert healthy.threads.used <= healthy.threads.affinity
    assert None not in healthy.versions.values()
    assert len(healthy.universal) == 64


def test_the_description_is_complete(healthy):
    lines = doctor.describe(healthy)
    assert lines[-1] == "healthy"
    for word in ("numpy", "CPUExecutionProvider", healthy.universal, "identical images 0"):
        assert any(word in line for line in lines), word


def test_a_missing_runtime_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    diagnosis = examine()
    assert "[cpu]" in problems(diagnosis)
    assert diagnosis.versions["onnxruntime"] is None
    assert (diagnosis.providers, diagnosis.self_test) == ({}, {})


def test_an_empty_module_left_by_two_removed_wheels_counts_as_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    assert "onnxruntime does not load" in problems(examine())


@pytest.mark.parametrize("module", ["cv2", "simplejpeg"])
def test_a_missing_module_is_a_problem(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert f"{module} does not load" in problems(examine())


@pytest.mark.parametrize("command", [True, False])
def test_two_installed_wheels_are_a_problem(monkeypatch, cli, command):
    wheels = {"onnxruntime": ["onnxruntime", "onnxruntime-gpu"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: wheels)
    monkeypatch.setattr(metadata, "version", lambda name: "1.23")
    if command:
        outcome = cli("doctor")
        assert outcome.code == 1
        assert outcome.out.splitlines()[-1] == "1 problem"
        assert "pip uninstall onnxruntime onnxruntime-gpu" in outcome.out
    else:
        assert "onnxruntime 1.23 and onnxruntime-gpu 1.23" in problems(examine())


def test_a_gpu_wheel_without_cuda_is_a_problem(monkeypatch):
    monkeypatch.setattr(
        metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]}
    )
    monkeypatch.setattr(metadata, "version", lambda name: "1.23")
    assert "does not offer CUDA" in problems(examine())


def test_cuda_that_does_not_load_is_a_problem(monkeypatch):
    found = {engine.CUDA: "libcublas.so.12 is missing", engine.CPU: None}
    monkeypatch.setattr(doctor, "probe_providers", lambda model: found)
    diagnosis = examine()
    assert "libcublas.so.12" in problems(diagnosis)
    assert list(diagnosis.self_test) == ["cpu"]


def test_an_unused_provider_is_only_noted(monkeypatch):
    found = {"TensorrtExecutionProvider": "libnvinfer is missing", engine.CPU: None}
    monkeypatch.setattr(doctor, "probe_providers", lambda model: found)
    diagnosis = examine()
    assert diagnosis.healthy
    assert any("Tensorrt" in note.what for note in diagnosis.notes)


def test_a_changed_universal_file_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_recorded_hash", lambda: "not the hash")
    assert "not the one that was installed" in problems(examine())


def test_a_missing_universal_file_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "UNIVERSAL", tmp_path / "none.onnx")
    diagnosis = examine()
    assert "cannot be read" in problems(diagnosis)
    assert diagnosis.universal is None


def test_a_distance_between_identical_images_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_measure", lambda device: doctor.SelfTest(0.25, 1.0))
    assert "identical images are 0.25 apart" in problems(examine())


def test_a_provider_that_is_offered_and_missing_does_not_load(monkeypatch):
    import onnxruntime

    offered = ["NoSuchExecutionProvider", engine.CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    found = engine.probe_providers(read_model(embedded.UNIVERSAL.read_bytes()))
    assert found[engine.CPU] is None
    assert found["NoSuchExecutionProvider"]
