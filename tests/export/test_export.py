"""Context files: what is in them, that they compute what the metric does, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dps_export import exporting, verify
from dps_export.exporting import export_run
from dps_export.freeze import freeze
from dps_infer import Context
from dps_infer.errors import DpsError, OutputError
from dps_infer.manifest import METADATA_KEY, decode_manifest, encode_manifest
from dps_train.data.sources import photograph
from dps_train.runs import RunError, load_run

SIZES = ((17, 31), (64, 64), (300, 200), (1080, 1920))
BATCHES = (1, 2, 7)

# The issue's own bounds. Sums run in another order for another batch, and in PyTorch.
WITHIN = 1e-6
PARITY = 1e-5


@pytest.fixture(scope="module")
def context(exported) -> Context:
    return Context.load(exported, device="cpu", threads=1)


@pytest.fixture(scope="module")
def model(exported) -> onnx.ModelProto:
    return onnx.load(exported)


@pytest.fixture(scope="module")
def metric(run_folder):
    return load_run(run_folder)[0]


def photographs(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Windows of a photograph, enlarged where it is too small: uint8 [N, H, W, 3]."""
    image = photograph("chelsea")
    times = max(math.ceil(2 * height / image.shape[0]), math.ceil(2 * width / image.shape[1]))
    image = image.repeat(times, axis=0).repeat(times, axis=1)
    places = np.random.default_rng(seed).random((count, 2))
    windows = []
    for down, right in places:
        top = int(down * (image.shape[0] - height))
        left = int(right * (image.shape[1] - width))
        windows.append(image[top : top + height, left : left + width])
    return np.stack(windows)


# Every size with every batch, but the largest alone.
CASES = [
    pytest.param(count, *size, id=f"{count}x{size[0]}x{size[1]}")
    for size in SIZES
    for count in (BATCHES if size[0] < 1000 else (1,))
]


# --- what the file computes -----------------------------------------------------------


@pytest.mark.parametrize(("count", "height", "width"), CASES)
def test_the_marks_of_a_metric(context, count, height, width):
    first = photographs(count, height, width)
    second = photographs(count, height, width, seed=1)
    there = context.measure(first, second, with_map=True)
    back = context.measure(second, first)
    assert there.distances.shape == (count,)
    assert there.distances.dtype == np.float32
    assert np.all(there.distances > 0)
    assert np.abs(there.distances - back.distances).max() <= WITHIN
    same = context.measure(first, first.copy(), with_map=True)
    assert np.all(same.distances == 0)
    assert np.all(same.amounts == 0)
    assert np.all(same.maps == 0)


@pytest.mark.parametrize(("count", "height", "width"), CASES)
@torch.no_grad()
def test_pytorch_and_onnxruntime_agree(context, metric, count, height, width):
    first = photographs(count, height, width)
    second = photographs(count, height, width, seed=1)
    measured = context.measure(first, second, with_map=True)
    expected = metric(torch.from_numpy(first), torch.from_numpy(second))
    for got, wanted in zip(
        (measured.distances, measured.amounts, measured.maps), expected, strict=True
    ):
        assert got.shape == tuple(wanted.shape)
        assert np.abs(got - wanted.numpy()).max() <= PARITY
    assert context.manifest.parity.max_abs_error <= PARITY
    assert context.manifest.parity.pairs > 0


@pytest.mark.parametrize(("height", "width"), SIZES[:3])
def test_the_batch_does_not_matter(context, height, width):
    first = photographs(7, height, width)
    second = photographs(7, height, width, seed=1)
    whole = context.measure(first, second, with_map=True)
    for parts in (range(7), range(0, 7, 2)):
        step = parts[1] - parts[0]
        pieces = [
            context.measure(first[i : i + step], second[i : i + step], with_map=True) for i in parts
        ]
        for name in ("distances", "amounts", "maps"):
            joined = np.concatenate([getattr(piece, name) for piece in pieces])
            assert np.abs(joined - getattr(whole, name)).max() <= WITHIN, name


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize(("height", "width"), SIZES[:3])
def test_one_reference_against_many_is_as_many_pairs(context, count, height, width):
    reference = photographs(1, height, width)
    candidates = photographs(count, height, width, seed=1)
    candidates[-1] = reference[0]
    shared = context.measure(reference, candidates, with_map=True)
    paired = context.measure(reference.repeat(count, axis=0), candidates, with_map=True)
    assert shared.distances[-1] == 0
    assert np.all(shared.distances[:-1] > 0)
    for name in ("distances", "amounts", "maps"):
        assert np.abs(getattr(shared, name) - getattr(paired, name)).max() <= WITHIN, name


def test_amounts_and_map_add_up_to_the_distance(context):
    measured = context.measure(photographs(7, 64, 80), photographs(7, 64, 80, 1), with_map=True)
    importances = np.array(list(context.manifest.metric.importances.values()))
    sums = measured.amounts.astype(np.float64) @ importances
    np.testing.assert_allclose(sums, measured.distances, rtol=1e-6)
    np.testing.assert_allclose(measured.maps.mean(axis=(1, 2)), measured.distances, rtol=1e-5)
    assert np.all(measured.maps >= 0)


def test_inputs_are_not_changed(context):
    first, second = photographs(2, 64, 64), photographs(2, 64, 64, 1)
    before = first.copy(), second.copy()
    context.measure(first, second)
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


def test_any_onnxruntime_can_run_it(exported):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    assert [(port.name, port.type, port.shape) for port in session.get_inputs()] == [
        ("reference", "tensor(uint8)", ["R", "H", "W", 3]),
        ("distorted", "tensor(uint8)", ["N", "H", "W", 3]),
    ]
    outputs = session.get_outputs()
    assert [port.name for port in outputs] == ["distance", "amounts", "map"]
    assert {port.type for port in outputs} == {"tensor(float)"}
    assert outputs[0].shape == ["N"]
    images = photographs(1, 20, 30)
    (distance,) = session.run(["distance"], {"reference": images, "distorted": images})
    assert distance.tolist() == [0.0]


# --- what is in the file --------------------------------------------------------------


def test_it_is_one_plain_onnx_file(exported, model):
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        for attribute in node.attribute:
            assert attribute.type != onnx.AttributeProto.GRAPH
            tensors += [attribute.t, *attribute.tensors]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in tensors)
    assert not any(tensor.external_data for tensor in tensors)
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert "Dropout" not in {node.op_type for node in model.graph.node}


def test_it_names_no_place_on_this_machine(exported, model, run_folder):
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:
        # Among a million random numbers, some spell anything that is short.
        tensor.ClearField("raw_data")
    content = bare.SerializeToString()
    assert len(content) < exported.stat().st_size / 2
    places = ["/tmp", "site-packages", "dist-packages", ".py", "Traceback"]
    places += [str(Path.home()) + "/", str(Path.cwd()), str(run_folder.parent), sys.prefix]
    found = [place for place in places if len(place) > 1 and place.encode() in content]
    assert found == []
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        assert not value.metadata_props
        assert not value.doc_string
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    assert not model.doc_string
    assert not model.graph.doc_string
    assert not model.graph.metadata_props


def test_its_manifest_is_the_runs_with_the_exports_own_facts(model, run_folder):
    (entry,) = model.metadata_props
    manifest = decode_manifest(entry.value)
    assert encode_manifest(manifest) == entry.value
    run = load_run(run_folder)[1]
    told = json.loads(entry.value)["metric"]
    wanted = json.loads((run_folder / "manifest.json").read_text())["metric"]
    assert {**told, "tools": None} == {**wanted, "tools": None}
    assert wanted["tools"].items() <= told["tools"].items()
    assert {"onnx", "onnxscript", "torch"} <= told["tools"].keys()
    assert manifest.calibration == run.calibration
    assert manifest.precision == "float32"
    assert "mean" in manifest.map


def test_the_reader_of_context_files_takes_it(context, exported):
    assert context.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    first, second = photographs(2, 90, 70)
    result = context.compare(first, second)
    assert result.distance > 0
    assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-5)
    assert set(result.percentiles) == set(context.manifest.calibration.distances)
    assert context.compare(first, first).distance == 0


def test_equal_runs_give_equal_bytes(exported, run_folder, tmp_path):
    """From another folder, in a fresh process with another hash seed, by the command."""
    moved = shutil.copytree(run_folder, tmp_path / "elsewhere" / "copy")
    process = subprocess.run(
        [sys.executable, "-m", "dps_export.cli", str(moved), "--output", "new/again.onnx"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    assert all(line.startswith("dps-export: ") for line in lines), process.stderr
    assert "new/again.onnx written" in lines[-1]
    assert re.search(r"[\d.]+ MB, within [\d.e-]+ of PyTorch on \d+ pairs", lines[-1])
    assert (tmp_path / "new" / "again.onnx").read_bytes() == exported.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["again.onnx"]


# --- what is refused ------------------------------------------------------------------


def error_line(outcome) -> str:
    assert outcome.out == ""
    line = outcome.err.splitlines()[-1]
    assert line.startswith("dps-export: error: ")
    assert "unexpected" not in line
    return line


@pytest.fixture
def no_work(monkeypatch):
    """Let a test fail that gets as far as to freeze a metric."""

    def work(*_arguments: object) -> None:
        raise AssertionError("there should have been a refusal before this")

    monkeypatch.setattr(exporting, "freeze", work)


@pytest.fixture
def spoiled(run_folder, tmp_path) -> Path:
    """A copy of the run, to spoil."""
    return Path(shutil.copytree(run_folder, tmp_path / "runs" / "spoiled"))


def test_an_existing_output_is_refused_and_kept(cli, no_work, run_folder, tmp_path):
    output = tmp_path / "ctx.onnx"
    output.write_bytes(b"mine")
    outcome = cli(run_folder, "-o", output)
    assert f"{output} exists already" in error_line(outcome)
    assert outcome.code == 1
    with pytest.raises(OutputError, match="exists already"):
        export_run(run_folder, output)
    assert output.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["file/ctx.onnx", "folder"])
def test_outputs_that_cannot_be_are_refused_before_the_work(
    cli, no_work, run_folder, tmp_path, name
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    outcome = cli(run_folder, "-o", tmp_path / name, "--force")
    assert str(tmp_path / name) in error_line(outcome)
    assert outcome.code == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("name", ["manifest.json", "metric.safetensors", "metrics.json"])
def test_a_run_that_lacks_a_file(cli, no_work, spoiled, tmp_path, name):
    (spoiled / name).unlink()
    outcome = cli(spoiled, "-o", tmp_path / "ctx.onnx")
    assert f"lacks {name}" in error_line(outcome)
    assert outcome.code == 1
    assert not (tmp_path / "ctx.onnx").exists()


def test_a_run_that_was_altered(cli, no_work, spoiled, tmp_path):
    content = bytearray((spoiled / "metric.safetensors").read_bytes())
    content[-1] ^= 1
    (spoiled / "metric.safetensors").write_bytes(content)
    outcome = cli(spoiled, "-o", tmp_path / "ctx.onnx")
    assert "hash differs" in error_line(outcome)
    assert outcome.code == 1
    assert not (tmp_path / "ctx.onnx").exists()


def test_no_run(cli, no_work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments, said in (((), "holds no run"), ((tmp_path / "none",), "no run folder")):
        outcome = cli(*arguments)
        assert said in error_line(outcome)
        assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_newest_run_is_taken_by_default(cli, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(run_folder.parents[1])
    taken = []

    def record(run: Path, *_arguments: object, **_options: object) -> None:
        taken.append(run)
        raise RunError("far enough")

    monkeypatch.setattr(exporting, "export_run", record)
    assert cli("-o", tmp_path / "ctx.onnx").code == 1
    assert taken == [Path("runs/tiny")]


def test_help_lists_the_exit_codes(cli):
    outcome = cli("--help")
    assert outcome.code == 0
    for text in ("0 done", "1 something broke", "2 usage", "--output"):
        assert text in outcome.out


# --- verification ---------------------------------------------------------------------


@torch.no_grad()
def shifted(metric, amount: float):
    """A metric whose head says a little more of everything that differs."""
    metric.head.layers[-1].bias += amount
    return metric


def test_a_file_that_disagrees_with_the_metric_is_not_written(
    exported, run_folder, tmp_path, monkeypatch
):
    # The graph of the run, beside a metric that is not quite that run's.
    other = shifted(load_run(run_folder)[0], 1e-3)
    with pytest.raises(verify.ParityError, match=r"differ by"):
        verify.verify(exported.read_bytes(), other)
    monkeypatch.setattr(exporting, "load_run", lambda run: (other, load_run(run)[1]))
    monkeypatch.setattr(exporting, "freeze", lambda _metric: onnx.load(exported))
    with pytest.raises(DpsError, match="no file was written"):
        export_run(run_folder, tmp_path / "ctx.onnx")
    assert list(tmp_path.iterdir()) == []


def rename_distance(model: onnx.ModelProto) -> None:
    """Call what is the distance `before`, so that a node can be put behind it."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "distance":
                    names[place] = "before"


def test_identical_images_that_are_apart_are_noticed(exported, metric):
    model = onnx.load(exported)
    rename_distance(model)
    tiny = onnx.numpy_helper.from_array(np.float32(1e-7), "tiny")
    model.graph.initializer.append(tiny)
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "tiny"], ["distance"]))
    with pytest.raises(verify.ParityError, match="identical images"):
        verify.verify(model.SerializeToString(), metric)


def test_distances_that_are_no_numbers_are_noticed(exported, metric):
    model = onnx.load(exported)
    rename_distance(model)
    constants = {"zero": np.float32(0), "none": np.float32("nan")}
    for name, value in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    model.graph.node.extend(
        [
            onnx.helper.make_node("Greater", ["before", "zero"], ["apart"]),
            onnx.helper.make_node("Where", ["apart", "none", "before"], ["distance"]),
        ]
    )
    with pytest.raises(verify.ParityError):
        verify.verify(model.SerializeToString(), metric)


def test_a_metric_with_dropout_is_not_frozen(run_folder):
    metric, _ = load_run(run_folder)
    metric.head.layers.append(torch.nn.Dropout())
    with pytest.raises(ValueError, match="dropout"):
        freeze(metric)


def test_large_importances_are_no_reason_to_refuse(run_folder):
    metric, _ = load_run(run_folder)
    metric.head.importances.mul_(1e6)
    parity = verify.verify(freeze(metric).SerializeToString(), metric)
    assert parity.max_abs_error <= verify.TOLERANCE
