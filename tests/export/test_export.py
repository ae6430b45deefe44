"""Context files: their content, their agreement with the metric, and refused exports.

Tracing a metric takes most of the time, so every test that needs a traced metric is in this file:
pytest-xdist runs a file in one process, which traces each metric once.
"""

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
from export_helpers import Exported, already_frozen
from train_helpers import mean_over_image, measured_quickly, write_images
from triplet_helpers import write_bapps

from dps_export import export, verify
from dps_export.export import export_run
from dps_export.freeze import freeze
from dps_export.outputs import OF_KINDS, PLAIN, ExportedMetric
from dps_export.universal import export_universal
from dps_infer import Metric
from dps_infer.contexts.context import ranking_context
from dps_infer.errors import DpsError, OutputError
from dps_infer.model.calibration import scores
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMPORTANCE, KIND_RANKS, Measurement
from dps_infer.model.integrity import MANIFEST_HASH_KEY, graph_sha256
from dps_infer.model.manifest import METADATA_KEY, decode_manifest, encode_manifest
from dps_infer.runtime import bands
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import open_engine
from dps_train.contexts import AMOUNTS
from dps_train.data.crops import resize_images
from dps_train.data.sources import Images, photograph
from dps_train.fit.run_folder import RunError, load_run
from dps_train.measure.anchor_ladders import LADDERS
from dps_train.measure.evaluation import evaluate
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.measure.stored_draws import calibration_quantiles
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.half_planes import CELL
from dps_train.model.embedded import embedded_metric
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.pair_encoder import IMAGE_SIZE
from dps_train.seeds import generator_for

SIZES = ((17, 31), (64, 64), (130, 200))
REFERENCES_AND_PAIRS = ((1, 1), (1, 3), (3, 3))
FILES = ("scalar-plain", "pair-plain", "pair-universal")

# Sums run in another order for another batch, and in PyTorch; logarithms of faint energies and
# importances up to 128 enlarge that.
WITHIN = 1e-3
PARITY = 1e-3

RANKING = "color,translate,zoom,rotate,darken,blur"


@pytest.fixture(scope="module", params=FILES)
def file(request, files) -> Exported:
    """Each of the context files."""
    return files[request.param]


@pytest.fixture(scope="module")
def context(file) -> Metric:
    given = {"ranking": RANKING} if file.universal else {}
    return Metric.load(file.path, device="cpu", threads=1, **given)


@pytest.fixture(scope="module")
def model(file) -> onnx.ModelProto:
    return onnx.load(file.path)


@pytest.fixture(scope="module")
def session(file) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def importance(file, context) -> np.ndarray:
    """The context that a file is compared with PyTorch in."""
    # A ranking says nothing about the size.
    names = file.metric.head.names
    return np.array([context.importances.get(name, 0.0) for name in names], np.float32)


def feeds(file: Exported, reference, distorted, importance) -> dict[str, np.ndarray]:
    images = {"reference": reference, "distorted": distorted}
    return {**images, IMPORTANCE: importance} if file.universal else images


def names_of(file: Exported) -> tuple[str, ...]:
    return OF_KINDS if isinstance(file.metric, ChangeMetric) else PLAIN


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


def far_apart(values: np.ndarray, others: np.ndarray) -> float:
    """The largest difference, as a share of the largest value where that is above 1."""
    return float(np.abs(values - others).max()) / max(1.0, float(others.max()))


# --- what the file computes -----------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_marks_of_a_metric(context, height, width):
    first = photographs(2, height, width)
    second = photographs(2, height, width, seed=1)
    there = context.measure(first, second, with_map=True)
    back = context.measure(second, first)
    assert there.distances.shape == (2,)
    assert there.distances.dtype == np.float32
    assert np.all(there.distances > 0)
    assert np.all(there.maps >= 0)
    assert far_apart(there.distances, back.distances) <= WITHIN
    if there.directions is not None:
        assert np.abs(there.directions + back.directions).max() <= WITHIN
    same = context.measure(first, first.copy(), with_map=True)
    for values in (same.distances, same.amounts, same.maps):
        assert np.all(values == 0)


@pytest.mark.parametrize(("references", "count"), REFERENCES_AND_PAIRS)
@pytest.mark.parametrize(("height", "width"), SIZES)
@torch.no_grad()
def test_pytorch_and_onnxruntime_agree_in_every_output(
    file, session, importance, references, count, height, width
):
    first = photographs(references, height, width)
    second = photographs(count, height, width, seed=1)
    exported = ExportedMetric(file.metric)
    names = exported.names
    got = dict(zip(names, session.run(names, feeds(file, first, second, importance)), strict=True))
    inputs = (torch.from_numpy(array) for array in (first, second, importance))
    expected = dict(zip(names, exported(*inputs), strict=True))
    for name, wanted in expected.items():
        assert got[name].shape == tuple(wanted.shape), name
        # Strengths are exponentials, which enlarge errors.
        within = 5 * PARITY if name in verify.READ_TOLERANCES else PARITY
        largest = max(1, float(wanted.abs().max()))
        assert np.abs(got[name] - wanted.numpy()).max() <= within * largest, name


def test_the_distance_is_between_the_size_in_the_least_and_in_every_importance(files):
    file = files["pair-universal"]
    first, second = photographs(2, 90, 70), photographs(2, 90, 70, 1)
    names = file.metric.head.names[:-1]
    scale = file.metric.head.scale.numpy()
    generator = np.random.default_rng(3)
    for _ in range(3):
        values = np.round(10 ** generator.uniform(-2, 2, len(names)), 4)
        given = dict(zip(names, values.tolist(), strict=True))
        context = Metric.load(file.path, importances=given, device="cpu", threads=1)
        measured = context.measure(first, second)
        size = measured.amounts[:, -1]
        assert np.all(measured.distances >= (values * scale).min() * size * (1 - 1e-4))
        assert np.all(measured.distances <= (values * scale).sum() * size * (1 + 1e-4))
        doubled = {name: 2 * value for name, value in given.items()}
        twice = Metric.load(file.path, importances=doubled, device="cpu", threads=1)
        distances = twice.measure(first, second).distances
        np.testing.assert_allclose(distances, 2 * measured.distances, rtol=1e-6)
    general = Metric.load(file.path, importances={"size": 1.0}, device="cpu", threads=1)
    measured = general.measure(first, second)
    np.testing.assert_array_equal(measured.distances, measured.amounts[:, -1])


def test_a_large_image(files):
    large = Metric.load(files["pair-plain"].path, device="cpu", threads=1)
    first = photographs(1, 540, 960)
    second = photographs(1, 540, 960, seed=1)
    measured = large.measure(first, second, with_map=True)
    assert measured.cells.shape == (1, 9, 15, len(AMOUNTS) - 1)
    assert measured.maps.shape == (1, 72, 120)
    mean = mean_over_image(files["pair-plain"].metric, torch.from_numpy(measured.maps), 540, 960)
    assert float(mean[0]) == pytest.approx(float(measured.distances[0]), rel=1e-4)
    assert large.measure(first, first).distances.tolist() == [0.0]


def per_pair(measurement: Measurement) -> dict[str, np.ndarray]:
    """Everything that is said of each pair."""
    fields = ("distances", "amounts", "strengths", "directions", "maps", "cells")
    values = {name: getattr(measurement, name) for name in fields}
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_batch_does_not_matter(context, height, width):
    first = photographs(3, height, width)
    second = photographs(3, height, width, seed=1)
    together = per_pair(context.measure(first, second, with_map=True))
    pieces = [
        per_pair(context.measure(first[i : i + 1], second[i : i + 1], with_map=True))
        for i in range(3)
    ]
    for name, values in together.items():
        joined = np.concatenate([piece[name] for piece in pieces])
        assert far_apart(joined, values) <= 5 * WITHIN, name


@pytest.mark.parametrize("count", [1, 3])
def test_one_reference_against_many_is_as_many_pairs(context, count):
    reference = photographs(1, 130, 70)
    candidates = photographs(count, 130, 70, seed=1)
    candidates[-1] = reference[0]
    shared = context.measure(reference, candidates, with_map=True)
    paired = context.measure(reference.repeat(count, axis=0), candidates, with_map=True)
    # Features of a reference alone may differ from those in a batch in the last bit.
    assert shared.distances[-1] <= 1e-12
    assert np.all(shared.distances[:-1] > 1e-3)
    others = per_pair(paired)
    for name, values in per_pair(shared).items():
        assert far_apart(values, others[name]) <= 5 * WITHIN, name


def test_amounts_and_map_add_up_to_the_distance(file, context, importance):
    measured = context.measure(photographs(3, 100, 80), photographs(3, 100, 80, 1), with_map=True)
    sums = measured.amounts.astype(np.float64) @ importance
    np.testing.assert_allclose(sums, measured.distances, rtol=1e-6)
    mean = mean_over_image(file.metric, torch.from_numpy(measured.maps), 100, 80)
    np.testing.assert_allclose(mean.numpy(), measured.distances, rtol=1e-5)


def test_inputs_are_not_changed(context):
    first, second = photographs(2, 64, 64), photographs(2, 64, 64, 1)
    before = first.copy(), second.copy()
    context.measure(first, second)
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


def test_a_plain_file_computes_what_the_universal_one_does_in_its_context(files):
    plain = Metric.load(files["pair-plain"].path, device="cpu", threads=1)
    same = Metric.load(
        files["pair-universal"].path, importances=plain.importances, device="cpu", threads=1
    )
    first, second = photographs(2, 90, 70), photographs(2, 90, 70, 1)
    one, other = (each.measure(first, second) for each in (plain, same))
    np.testing.assert_allclose(one.distances, other.distances, rtol=1e-6)
    np.testing.assert_allclose(one.amounts, other.amounts, rtol=1e-6)


def test_any_onnxruntime_can_run_it(file, session, importance):
    inputs = [
        ("reference", "tensor(uint8)", ["R", "H", "W", 3]),
        ("distorted", "tensor(uint8)", ["N", "H", "W", 3]),
    ]
    if file.universal:
        inputs.append((IMPORTANCE, "tensor(float)", [len(importance)]))
    assert [(port.name, port.type, port.shape) for port in session.get_inputs()] == inputs
    outputs = session.get_outputs()
    assert [port.name for port in outputs] == list(names_of(file))
    assert {port.type for port in outputs} == {"tensor(float)"}
    for port in outputs:
        assert port.shape[0] == "N"
        assert len(port.shape) == KIND_RANKS[port.name]
    images = photographs(1, 20, 30)
    (distance,) = session.run(["distance"], feeds(file, images, images, importance))
    assert distance.tolist() == [0.0]


# --- the content of the file ----------------------------------------------------------


def test_it_is_one_plain_onnx_file(file, model):
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
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]
    assert "Dropout" not in {node.op_type for node in model.graph.node}


def test_what_is_stored_in_half_precision_loses_nothing(file, model):
    stored = [*file.metric.parameters(), *file.metric.buffers()]
    numbers = {np.sort(value.detach().numpy(), axis=None).tobytes() for value in stored}
    widened = {
        node.input[0]: node.output[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0].endswith("_half")
    }
    halves = [
        tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16
    ]
    assert {tensor.name for tensor in halves} == set(widened)
    for tensor in halves:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        # A layer may be stored turned, so that the order of its numbers is not compared.
        assert np.sort(values, axis=None).tobytes() in numbers, tensor.name
    # The embedded metric's parameters are such numbers, and most of the file.
    assert halves
    if isinstance(file.metric, ChangeMetric):
        large = sum(value.numel() for value in file.metric.parameters() if value.dim() > 1)
        assert sum(math.prod(tensor.dims) for tensor in halves) >= 0.9 * large
        # The issue's own bound.
        assert file.path.stat().st_size < 2_000_000


def test_it_can_be_cut_for_large_images(file, model):
    types = {value.name: value.type.tensor_type for value in model.graph.value_info}
    cuts = {name for name in types if name.startswith(bands.CUT)}
    needed = {*bands.DETAILS, *bands.MOTION, *bands.POSITIONS, *bands.SAMPLES, *bands.STATISTICS}
    assert cuts == (needed if isinstance(file.metric, ChangeMetric) else set())
    assert cuts <= {name for node in model.graph.node for name in node.input}
    assert len(types) == len(model.graph.value_info)
    assert types.keys().isdisjoint(value.name for value in model.graph.output)
    for name in cuts:
        assert types[name].elem_type == onnx.TensorProto.FLOAT
        assert not any(dimension.dim_param for dimension in types[name].shape.dim)


def test_it_squares_by_multiplying(file, model):
    constants = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    powers = [node.input[1] for node in model.graph.node if node.op_type == "Pow"]
    assert powers or not isinstance(file.metric, ChangeMetric), "the size has roots"
    assert not any(np.all(constants[name] == 2) for name in powers if name in constants)
    assert any(node.input[0] == node.input[1] for node in model.graph.node if node.op_type == "Mul")


def test_it_names_no_place_on_this_machine(file, model, run_folder):
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:
        # Among a million random numbers, some spell anything that is short.
        tensor.ClearField("raw_data")
    content = bare.SerializeToString()
    assert len(content) < file.path.stat().st_size / 2
    places = ["/tmp", "site-packages", "dist-packages", ".py", "Traceback"]
    places += [str(Path.home()) + "/", str(Path.cwd()), str(run_folder.parent), sys.prefix]
    found = [place for place in places if len(place) > 1 and place.encode() in content]
    assert found == []
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        assert not value.metadata_props
        assert not value.doc_string
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY, MANIFEST_HASH_KEY]
    assert not model.doc_string
    assert not model.graph.doc_string
    assert not model.graph.metadata_props


def test_a_manifest_says_what_the_file_is(file, model):
    entry, digest = model.metadata_props
    assert digest.value == hashlib.sha256(entry.value.encode()).hexdigest()
    manifest = decode_manifest(entry.value)
    assert manifest.graph_sha256 == graph_sha256(file.path.read_bytes())
    assert encode_manifest(manifest) == entry.value
    assert manifest.universal == file.universal
    assert (manifest.draws is None, manifest.calibration is None) == (
        not file.universal,
        file.universal,
    )
    assert manifest.cell == (CELL if isinstance(file.metric, ChangeMetric) else None)
    assert bool(manifest.ladders) == isinstance(file.metric, ChangeMetric)
    assert manifest.metric.comparison == file.metric.comparison.name
    has_presence = isinstance(file.metric, ChangeMetric)
    within = verify.PRESENCE_TOLERANCE if has_presence else verify.TOLERANCE
    assert 0 < manifest.parity.max_abs_error <= within
    assert manifest.parity.pairs > 20


def test_the_manifest_of_a_run_is_the_runs_with_the_exports_own_facts(exported, run_folder):
    entry, _ = onnx.load(exported).metadata_props
    manifest = decode_manifest(entry.value)
    assert encode_manifest(manifest) == entry.value
    run = load_run(run_folder)[1]
    stated = json.loads(entry.value)["metric"]
    wanted = json.loads((run_folder / "manifest.json").read_text())["metric"]
    assert {**stated, "tools": None} == {**wanted, "tools": None}
    assert wanted["tools"].items() <= stated["tools"].items()
    assert {"onnx", "onnxscript", "torch"} <= stated["tools"].keys()
    assert manifest.calibration == run.calibration
    assert manifest.precision == "float32"
    assert "mean" in manifest.map


def test_the_reader_of_context_files_takes_it(context, file):
    assert context.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    first, second = photographs(2, 90, 70)
    result = context.compare(first, second)
    assert result.distance > 0
    if isinstance(file.metric, ChangeMetric):
        assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-5)
    assert set(result.percentiles) == set(context.calibration.distances)
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
    # Tracing takes many seconds: each step is announced.
    steps = [line for line in lines if "still working" not in line]
    for line, step in zip(steps, ("freezing", "reading", "tracing", "comparing"), strict=False):
        assert step in line
    assert len(steps) == 5
    assert "new/again.onnx written" in lines[-1]
    assert re.search(r"[\d.]+ MB, within [\d.e-]+ of PyTorch on \d+ pairs", lines[-1])
    assert (tmp_path / "new" / "again.onnx").read_bytes() == exported.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["again.onnx"]


# --- refused exports -------------------------------------------------------------------


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

    monkeypatch.setattr(export, "freeze", work)


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
    for arguments, message in (((), "holds no run"), ((tmp_path / "none",), "no run folder")):
        outcome = cli(*arguments)
        assert message in error_line(outcome)
        assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_newest_run_is_taken_by_default(cli, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(run_folder.parents[1])
    taken = []

    def record(run: Path, *_arguments: object, **_options: object) -> None:
        taken.append(run)
        raise RunError("far enough")

    monkeypatch.setattr(export, "export_run", record)
    assert cli("-o", tmp_path / "ctx.onnx").code == 1
    assert taken == [Path("runs/tiny")]


def test_help_lists_the_exit_codes(cli):
    outcome = cli("--help")
    assert outcome.code == 0
    for text in ("0 done", "1 something broke", "2 wrong usage", "--output"):
        assert text in outcome.out


# --- verification ---------------------------------------------------------------------


@torch.no_grad()
def shifted(metric, amount: float):
    """A metric whose scalars are a little larger."""
    metric.head.weights += amount
    return metric


@pytest.fixture
def copied(models) -> onnx.ModelProto:
    """The run's universal model, to spoil."""
    model = onnx.ModelProto()
    model.CopyFrom(models["scalar"])
    return model


ONE = [1.0]


def test_a_file_that_disagrees_with_the_metric_is_not_written(
    copied, run_folder, tmp_path, monkeypatch
):
    # The graph of the run, beside a metric that is not quite that run's.
    other = shifted(load_run(run_folder)[0], 1e-3)
    with pytest.raises(verify.ParityError, match=r"differ by"):
        verify.verify(copied.SerializeToString(), other, ONE)
    monkeypatch.setattr(export, "load_run", lambda run: (other, load_run(run)[1]))
    monkeypatch.setattr(export, "freeze", lambda _metric: copied)
    with pytest.raises(DpsError, match="no file was written"):
        export_run(run_folder, tmp_path / "ctx.onnx")
    assert list(tmp_path.iterdir()) == []


def rename(model: onnx.ModelProto, output: str) -> None:
    """Rename an output to `before`, so that a node can follow it."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = "before"


def append(model: onnx.ModelProto, *nodes: onnx.NodeProto, **constants: float) -> bytes:
    """Add nodes and constants, and return the model's bytes."""
    for name, value in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def test_identical_images_that_are_apart_are_noticed(copied, metrics):
    rename(copied, "distance")
    node = onnx.helper.make_node("Add", ["before", "tiny"], ["distance"])
    with pytest.raises(verify.ParityError, match="identical images"):
        verify.verify(append(copied, node, tiny=1e-7), metrics["scalar"], ONE)


@pytest.mark.parametrize("output", ["distance", "amounts", "map"])
def test_values_that_are_no_numbers_are_noticed_in_every_output(copied, metrics, output):
    rename(copied, output)
    nodes = (
        onnx.helper.make_node("Greater", ["before", "zero"], ["apart"]),
        onnx.helper.make_node("Where", ["apart", "none", "before"], [output]),
    )
    with pytest.raises(verify.ParityError):
        verify.verify(append(copied, *nodes, zero=0, none=math.nan), metrics["scalar"], ONE)


def test_a_map_that_is_another_is_noticed(copied, metrics):
    rename(copied, "map")
    node = onnx.helper.make_node("Mul", ["before", "more"], ["map"])
    with pytest.raises(verify.ParityError, match="map of onnxruntime"):
        verify.verify(append(copied, node, more=1.001), metrics["scalar"], ONE)


def test_bands_that_give_other_values_are_noticed(files, monkeypatch):
    file = read_context_file(files["pair-universal"].path)
    engine = open_engine(file.model, device=Device.cpu, threads=1)
    context = np.ones(len(file.manifest.metric.amounts), np.float32)
    verify._check_bands(engine, OF_KINDS, context)
    monkeypatch.setattr(bands, "MARGIN", 0)
    with pytest.raises(verify.ParityError, match="in bands"):
        verify._check_bands(engine, OF_KINDS, context)


def test_a_metric_with_dropout_is_not_frozen(run_folder):
    metric, _ = load_run(run_folder)
    metric.head.more = torch.nn.Dropout()
    with pytest.raises(ValueError, match="dropout"):
        freeze(metric)


def test_a_metric_that_enlarges_rounding_may_be_as_far_as_rounding(metrics, models, monkeypatch):
    data = models["pair"].SerializeToString()
    monkeypatch.setattr(verify, "PRESENCE_TOLERANCE", 0.0)
    monkeypatch.setattr(verify, "SIZES", ((64, 64),))
    context = [1.0] * len(metrics["pair"].head.names)
    monkeypatch.setattr(verify, "ROUNDED", 0.0)
    with pytest.raises(verify.ParityError, match="differ by"):
        verify.verify(data, metrics["pair"], context)
    monkeypatch.setattr(verify, "ROUNDED", 100.0)
    assert verify.verify(data, metrics["pair"], context).max_abs_error > 0
    # So may what people read.
    monkeypatch.setattr(verify, "READ_TOLERANCES", dict.fromkeys(verify.READ_TOLERANCES, 0.0))
    monkeypatch.setattr(verify, "_check_bands", lambda *_: None)
    assert verify.verify(data, metrics["pair"], context).max_abs_error > 0
    monkeypatch.setattr(verify, "ROUNDED", 0.0)
    with pytest.raises(verify.ParityError, match=r"differ by .* expected at most 0"):
        verify.verify(data, metrics["pair"], context)


def test_large_importances_are_no_reason_to_refuse(models, metrics):
    data = models["scalar"].SerializeToString()
    parity = verify.verify(data, metrics["scalar"], [1e6])
    assert parity.max_abs_error <= verify.TOLERANCE


# --- evaluated ------------------------------------------------------------------------


UNKNOWN = {"baseline", "baseline_pairs", "improved", "stability", "named"}
"""Measures that a context file of one amount does not report."""


@pytest.fixture
def measured(run_main, tmp_path):
    data = write_images(tmp_path / "images", 4)

    def run(*arguments: object) -> dict:
        report = tmp_path / "measures.json"
        code, _, err = run_main(
            "dps_train.cli", "evaluate", *arguments, "--data", data, "--device", "cpu",
            "--json", report, "--force",
        )  # fmt: skip
        assert code == 0, err
        return json.loads(report.read_text())

    return run


def test_a_run_and_its_exported_file_agree(run_folder, exported, measured, tmp_path):
    bapps = write_bapps(tmp_path / "bapps")
    run = measured(run_folder, "--bapps", bapps)
    file = measured(exported, "--bapps", bapps)
    assert {name for name, value in file.items() if value is None} == UNKNOWN
    assert run["pairs"]
    # Rounding may turn a few of the 16 draws x 4 images of a pair that are nearly equal.
    for name, within in (
        ("score", 0.01), ("ceiling", 0), ("pairs", 2 / 64),
        ("monotonicity", 0.01), ("retention", 0.01),
    ):  # fmt: skip
        assert file[name] == pytest.approx(run[name], abs=within), name
    assert file["composition"] == pytest.approx(run["composition"], abs=0.02)
    assert file["bapps"] == run["bapps"]


def test_a_plain_file_has_but_its_own_context(run_main, exported):
    code, out, err = run_main("dps_train.cli", "evaluate", exported, "--rankings", "3")
    assert (code, out) == (2, "")
    assert "frozen into it" in err.splitlines()[-1]


# --- the file inside dps_infer --------------------------------------------------------


def test_the_universal_file_states_what_its_metric_said_of_known_draws(
    models, tmp_path, monkeypatch
):
    held_out = Images("sample", tuple(photographs(3, 90, 110)))
    monkeypatch.setattr("dps_export.universal.load_held_out", lambda *_arguments: held_out)
    with already_frozen(models["pair"]), measured_quickly():
        manifest = export_universal(tmp_path / "universal.onnx", seed=4)
        recipe, metric = embedded_metric.recipe(), embedded_metric.load_universal()
    sidecar = tmp_path / "universal.onnx.sha256"
    content = (tmp_path / "universal.onnx").read_bytes()
    assert sidecar.read_text(encoding="ascii") == f"{hashlib.sha256(content).hexdigest()}\n"
    with pytest.raises(OutputError, match="exists already"):
        export_universal(tmp_path / "universal.onnx", seed=4)
    assert manifest.metric.training_data == recipe.data
    assert [ladder.name for ladder in manifest.ladders] == list(LADDERS)
    assert manifest.metric.held_out_data.images == manifest.draws.images == 3
    context = Metric.load(tmp_path / "universal.onnx", ranking=RANKING, device="cpu", threads=1)
    # The same draws, measured in this context.
    distances = FeatureDistances(metric, torch.device("cpu"))
    images = resize_images(held_out.images, IMAGE_SIZE)
    with measured_quickly():
        bank = build_evaluation_bank(distances, images, generator_for("draws", 4))
    wanted = ranking_context(context.ranking)
    metric.head.set_importances(wanted.importances)
    quantiles = calibration_quantiles(metric.head, bank, context.calibration.levels)
    for name, expected in quantiles.items():
        # Stored with five digits.
        np.testing.assert_allclose(context.calibration.distances[name], expected, rtol=1e-3)
    measures = evaluate(metric.head, bank, [wanted])
    computed = scores(manifest.draws, manifest.metric.amounts, wanted)
    # In 15 pairs of 2 x 2 draws of 3 images, rounding may turn one that is nearly equal.
    within = 1 / 180
    assert computed.adapted == pytest.approx(measures.score.mean, abs=within)
    assert computed.baseline == pytest.approx(measures.baseline.mean, abs=within)
    assert computed.ceiling == pytest.approx(measures.ceiling.mean, abs=within)
