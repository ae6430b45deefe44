"""Devices, threads, and messages about a broken onnxruntime."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from infer_helpers import make_model

from dps_infer.errors import ContextError, DeviceError, UsageError
from dps_infer.graph.model import Model, read_model
from dps_infer.runtime import engine as runtime
from dps_infer.runtime import threads
from dps_infer.runtime.device import Device


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(make_model().SerializeToString())


EMPTY = Model(b"", {}, [])


def test_the_cpu_says_so(model):
    engine = runtime.open_engine(model, device=Device.cpu, threads=1)
    assert (engine.provider, engine.threads, engine.remark) == (runtime.CPU, 1, None)
    assert str(engine.inputs["reference"]) == "reference uint8 [?, ?, ?, 3]"
    assert engine.outputs["distance"].type == "float"


def test_threads_below_one_are_refused(model):
    with pytest.raises(UsageError, match="at least 1"):
        runtime.open_engine(model, threads=0)


def test_only_what_is_fetched_is_computed(model):
    engine = runtime.open_engine(model, device=Device.cpu)
    image = np.zeros((1, 2, 2, 3), np.uint8)
    feeds = {"reference": image, "distorted": image}
    assert list(engine.run(["distance"], feeds)) == ["distance"]
    assert engine.run(["map"], feeds)["map"].shape == (1, 2, 2)


def test_who_asks_for_a_part_again_and_again_gets_a_session_for_it(model, monkeypatch):
    pruned = []
    monkeypatch.setattr(Model, "pruned", lambda self, outputs: pruned.append(list(outputs)) or self)
    engine = runtime.open_engine(model, device=Device.cpu)
    assert engine.inputs  # opens the whole model
    image = np.zeros((1, 2, 2, 3), np.uint8)
    feeds = {"reference": image, "distorted": image}
    for _ in range(runtime.PATIENCE):
        engine.run(["distance"], feeds)
        engine.run(["map"], feeds)
    assert pruned == []
    for _ in range(3):
        engine.run(["distance"], feeds)
    assert pruned == [["distance"]]


def test_failures_of_a_run_are_told(model, capfd):
    engine = runtime.open_engine(model, device=Device.cpu)
    feeds = {
        "reference": np.zeros((2, 2, 2, 3), np.uint8),
        "distorted": np.zeros((3, 2, 2, 3), np.uint8),
    }
    with pytest.raises(ContextError, match=r"reference \[2, 2, 2, 3\]"):
        engine.run(["distance"], feeds)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_cannot_be_loaded_is_told(capfd):
    model = make_model()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ContextError, match="cannot be loaded by onnxruntime"):
        _ = runtime.open_engine(Model(model.SerializeToString(), {}, [])).inputs
    assert capfd.readouterr() == ("", "")


# --- CUDA, played by a fake ------------------------------------------------------------


class FakeSession:
    """A session that got the providers it was asked for, less those that do not load."""

    missing: tuple[str, ...] = ()
    raising: tuple[str, ...] = ()

    def __init__(self, model, *, sess_options, providers, enable_fallback):
        names = [entry if isinstance(entry, str) else entry[0] for entry in providers]
        print("noise that onnxruntime prints")
        if set(names) & set(self.raising):
            raise RuntimeError("CUDA driver is too old\nand more")
        self._providers = [name for name in names if name not in self.missing]

    def get_providers(self):
        return self._providers

    def get_inputs(self):
        return []

    get_outputs = get_inputs


@pytest.fixture
def fake_cuda(monkeypatch):
    def install(*, missing=(), raising=()):
        import onnxruntime

        session = type("Session", (FakeSession,), {"missing": missing, "raising": raising})
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: [runtime.CUDA, runtime.CPU]
        )

    return install


@pytest.mark.parametrize("device", [Device.auto, Device.cuda])
def test_cuda_is_used_where_it_loads(fake_cuda, capfd, device):
    fake_cuda()
    engine = runtime.open_engine(EMPTY, device=device)
    assert (engine.provider, engine.remark) == (runtime.CUDA, None)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("failure", ["missing", "raising"])
def test_cuda_that_does_not_load_is_never_replaced_silently(fake_cuda, failure):
    fake_cuda(**{failure: (runtime.CUDA,)})
    engine = runtime.open_engine(EMPTY, device=Device.auto)
    assert engine.provider == runtime.CPU
    assert "does not load" in engine.remark
    with pytest.raises(DeviceError, match="does not load") as refused:
        runtime.open_engine(EMPTY, device=Device.cuda)
    assert "\n" not in str(refused.value)


def test_cuda_is_not_even_tried_for_the_cpu(fake_cuda):
    fake_cuda(raising=(runtime.CUDA,))
    engine = runtime.open_engine(EMPTY, device=Device.cpu)
    assert (engine.provider, engine.remark) == (runtime.CPU, None)


def test_cuda_that_is_not_offered_is_refused(model, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [runtime.CPU])
    with pytest.raises(DeviceError, match=r"\.\[gpu\]"):
        runtime.open_engine(model, device=Device.cuda)
    assert runtime.open_engine(model, device=Device.auto).remark is None


# --- onnxruntime not as it should be ---------------------------------------------------


def test_without_onnxruntime_the_first_use_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r'pip install "\.\[cpu\]" in a checkout'):
        runtime.open_engine(model)


def test_an_empty_onnxruntime_counts_as_none(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(DeviceError, match=r"\.\[cpu\]"):
        runtime.open_engine(model)


# --- threads ---------------------------------------------------------------------------


@pytest.fixture
def cgroups(tmp_path):
    """Lay out cgroup files; return what `cgroup_cores` makes of them."""

    def cores(membership: str, files: dict[str, str]) -> float | None:
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return threads.cgroup_cores(tmp_path / "cgroup", tmp_path / "fs")

    return cores


def test_no_quota(cgroups, tmp_path):
    assert cgroups("0::/\n", {"cpu.max": "max 100000\n"}) is None
    assert threads.cgroup_cores(tmp_path / "none", tmp_path) is None


def test_quota_of_version_2_and_of_its_ancestors(cgroups):
    files = {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}
    assert cgroups("0::/a/b\n", files) == 1.5


def test_quota_of_version_1(cgroups):
    files = {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    # The path is the host's, which a container does not see.
    assert cgroups("5:memory:/x\n4:cpu,cpuacct:/docker/123\n", files) == 0.5


def test_no_quota_of_version_1(cgroups):
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert cgroups("4:cpu:/\n", files) is None


@pytest.mark.parametrize(("quota", "count"), [(None, 8), (1.5, 2), (0.2, 1), (64.0, 8)])
def test_threads_follow_affinity_and_quota(monkeypatch, quota, count):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "cgroup_cores", lambda: quota)
    assert threads.available_threads() == count
