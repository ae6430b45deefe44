"""Freezing a context into a universal file, with onnx alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

# The toy context files of the tests of `dps_infer`.
sys.path.insert(0, str(Path(__file__).parents[1] / "infer"))

from infer_helpers import AMOUNTS, make_manifest, make_model, write

from dps_export import specialize as specializing
from dps_export.lean import leaner
from dps_export.specialize import SpecializeError, specialize
from dps_infer import Metric
from dps_infer.errors import ContextError, OutputError, RankingError, UsageError
from dps_infer.graph.model import read_model
from dps_infer.model import embedded
from dps_infer.model.calibration import calibrate, scores
from dps_infer.model.manifest import METADATA_KEY, Draws, decode_manifest

RANKING = "3,1=5,0"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    model = make_model(universal=True)
    return write(tmp_path_factory.mktemp("universal") / "universal.onnx", model)


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 256, (2, 2, 30, 21, 3), dtype=np.uint8)
    return first, second


def of_kinds(metric: Metric) -> dict[str, float]:
    """The importances without the size, which counts nothing here."""
    assert metric.importances.get("size", 0) == 0
    return {name: value for name, value in metric.importances.items() if name != "size"}


# --- the frozen file ------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"ranking": RANKING}, {"importances": "color=0.1,blur=5"}])
def test_it_computes_what_the_universal_file_does(source, tmp_path, images, given):
    output = tmp_path / "ctx.onnx"
    specialize(output, source=source, **given)
    plain = Metric.load(output, device="cpu", threads=1)
    universal = Metric.load(source, device="cpu", threads=1, **given)
    assert (of_kinds(plain), plain.ranking) == (of_kinds(universal), universal.ranking)
    got = plain.measure(*images, with_map=True)
    expected = universal.measure(*images, with_map=True)
    np.testing.assert_allclose(got.distances, expected.distances, rtol=1e-6)
    for name in ("amounts", "strengths", "directions", "cells"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    np.testing.assert_allclose(got.maps, expected.maps, rtol=1e-5, atol=1e-7)
    one, other = (context.compare(images[0][0], images[1][0]) for context in (plain, universal))
    assert one.parts == pytest.approx(other.parts, rel=1e-6)
    assert one.percentiles == pytest.approx(other.percentiles, abs=1e-5)


def test_its_manifest_is_the_universal_ones_in_the_context(source, tmp_path):
    manifest = specialize(tmp_path / "ctx.onnx", ranking=RANKING, source=source)
    text = read_model((tmp_path / "ctx.onnx").read_bytes()).metadata[METADATA_KEY]
    assert decode_manifest(text) == manifest
    origin = make_manifest(universal=True)
    metric = manifest.metric
    assert not manifest.universal
    assert metric.name == "color-translate~zoom-rotate"
    assert metric.ranking == [["color"], ["translate", "zoom"], ["rotate"]]
    assert metric.importances["rotate"] == 1
    assert metric.scores == scores(origin.draws, metric.amounts, metric.context)
    assert manifest.calibration == calibrate(origin.draws, metric.amounts, metric.importances)
    assert manifest.draws is None
    for kept in ("ladders", "cell", "parity", "precision", "map", "format"):
        assert getattr(manifest, kept) == getattr(origin, kept)
    for kept in ("amounts", "distortions", "weights", "tools", "variant", "seed"):
        assert getattr(metric, kept) == getattr(origin.metric, kept)


def test_importances_leave_no_ranking(source, tmp_path):
    metric = specialize(tmp_path / "ctx.onnx", importances="blur=5,color=0.1", source=source).metric
    assert metric.name == "color-0.1_blur-5"
    assert metric.ranking is None
    assert metric.importances["blur"] == 5
    assert metric.scores is not None
    even = ",".join(f"{name}=1" for name in metric.amounts if name != "size")
    assert specialize(tmp_path / "even.onnx", importances=even, source=source).metric.scores is None


def test_the_importances_are_a_constant_of_the_graph(source, tmp_path):
    specialize(tmp_path / "ctx.onnx", importances="blur=5", source=source)
    model = onnx.load(tmp_path / "ctx.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [port.name for port in model.graph.input] == ["reference", "distorted"]
    (constant,) = (one for one in model.graph.initializer if one.name == "importance")
    assert onnx.numpy_helper.to_array(constant).tolist() == [
        5 * (name == "blur") for name in AMOUNTS
    ]
    universal = onnx.load(source)
    assert list(model.graph.node) == list(universal.graph.node)
    assert list(model.graph.output) == list(universal.graph.output)


def test_equal_contexts_give_equal_bytes(source, tmp_path):
    for name, ranking in (("a", "3,1=5,0"), ("b", "color,translate=zoom,rotate")):
        specialize(tmp_path / name, ranking=ranking, source=source)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    specialize(tmp_path / "b", ranking="0,3", source=source, force=True)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_calibration_is_that_of_an_evaluation(tmp_path):
    """The same draws, the same quantiles and scores, as `dps_train` would compute."""
    torch = pytest.importorskip("torch")
    from dps_infer.contexts.context import ranking_context
    from dps_infer.contexts.ranking import parse_ranking
    from dps_train.contexts import pair_table
    from dps_train.distortions.paper import NAMES as DISTORTIONS
    from dps_train.measure import evaluation

    generator = torch.Generator().manual_seed(0)
    kinds, images, each = len(DISTORTIONS), 5, 4
    amounts = torch.rand(kinds, each, images, kinds + 1, generator=generator)
    true = torch.rand(kinds, each, images, generator=generator)
    uniform = torch.rand(kinds, each, images, generator=generator)
    # The evaluation goes through draws first, a manifest through images.
    rows = {
        name: [
            tensor.transpose(1, 2).flatten(1, 2)[number].tolist()
            for tensor in (amounts, true, uniform)
        ]
        for number, name in enumerate(DISTORTIONS)
    }
    draws = Draws(
        images=images,
        per_image=each,
        amounts={name: row[0] for name, row in rows.items()},
        true_amounts={name: row[1] for name, row in rows.items()},
        uniform={name: row[2] for name, row in rows.items()},
    )
    context = ranking_context(parse_ranking(RANKING, DISTORTIONS), DISTORTIONS)
    weights = torch.tensor(list(context.importances.values()))
    distances = amounts @ weights

    columns = list(context.importances)
    calibration = calibrate(draws, columns, context.importances)
    expected = np.quantile(distances.double().flatten(1).numpy(), calibration.levels, axis=1)
    got = np.array(list(calibration.distances.values())).T
    np.testing.assert_allclose(got, expected, rtol=1e-6)

    judged = pair_table([context])
    found = scores(draws, columns, context)
    for value, table in [
        (found.adapted, distances),
        (found.baseline, uniform),
        (found.ceiling, true * weights[:kinds, None, None]),
    ]:
        shares = evaluation.two_afc(table[None], judged)
        assert value == pytest.approx(float(shares[judged].mean()), abs=1e-6)


# --- the command ----------------------------------------------------------------------


def test_the_command_says_one_line(cli, source, tmp_path):
    output = tmp_path / "ctx.onnx"
    outcome = cli("--ranking", RANKING, "--from", source, "-o", output)
    assert (outcome.code, outcome.out) == (0, "")
    (line,) = outcome.err.splitlines()
    assert re.fullmatch(
        rf"dps-export: {output} written: [\d.]+ MB, context color < translate = zoom < rotate "
        r"\(rotate matters most\)",
        line,
    )
    assert Metric.load(output).ranking == (("color",), ("translate", "zoom"), ("rotate",))
    assert cli("--importance", "blur=2", "--from", source, "-o", output, "--force").code == 0
    assert Metric.load(output).importances["blur"] == 2


def test_the_embedded_file_is_the_default(cli, source, tmp_path, monkeypatch):
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", source)
    monkeypatch.chdir(tmp_path)
    assert cli("--ranking", RANKING).code == 0
    expected = tmp_path / "expected.onnx"
    specialize(expected, ranking=RANKING, source=source)
    assert (tmp_path / "ctx.onnx").read_bytes() == expected.read_bytes()


def test_a_context_that_is_kept_under_a_name(cli, source, tmp_path):
    output = tmp_path / "ctx.onnx"
    outcome = cli("--context-name", "map-rendering", "--from", source, "-o", output)
    assert outcome.code == 0, outcome.err
    frozen = Metric.load(output, device="cpu", threads=1)
    assert frozen.manifest.metric.name == frozen.label == "map-rendering"
    named = Metric.named("map-rendering", device="cpu", threads=1)
    # The toy file names fewer kinds than the package's own.
    assert of_kinds(frozen) == {name: named.importances[name] for name in of_kinds(frozen)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/mine", "--ranking", RANKING], "runs/mine has a context of its own"),
        (["runs/mine", "--importance", "blur=1"], "runs/mine has a context of its own"),
        (["runs/mine", "--from", "u.onnx"], "--from needs"),
        (["--from", "u.onnx"], "--ranking color,"),
        (["--ranking", RANKING, "--importance", "blur=1"], "give one"),
        (["--ranking", RANKING, "--context-name", "map-rendering"], "give one"),
        (["runs/mine", "--context-name", "map-rendering"], "runs/mine has a context of its own"),
        (["--context-name", "no-such-context"], "no-such-context"),
    ],
)
def test_wrong_usage(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("dps-export: error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_it_needs_no_torch_and_no_training_code(source, tmp_path):
    program = (
        "import sys\ntry:\n    from dps_export.cli import main; main()\n"
        "except SystemExit as leaving:\n    assert not leaving.code\n"
        "print(*sys.modules)"
    )
    arguments = ["--ranking", RANKING, "--from", source, "-o", tmp_path / "ctx.onnx"]
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "ctx.onnx").is_file()
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert {"onnx", "onnxruntime", "dps_infer"} <= loaded
    assert not loaded & {"torch", "torchvision", "lightning", "onnxscript", "dps_train", "scipy"}


@pytest.mark.skipif(
    not embedded.UNIVERSAL.exists(), reason="the package holds no universal file yet"
)
def test_the_packages_own_file_can_be_frozen(tmp_path):
    manifest = specialize(tmp_path / "ctx.onnx", ranking=RANKING)
    assert manifest.ladders
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    universal = Metric.universal(ranking=RANKING, device="cpu")
    got = Metric.load(tmp_path / "ctx.onnx", device="cpu").compare(image, image[::-1])
    assert got.distance == pytest.approx(universal.compare(image, image[::-1]).distance, rel=1e-6)


# --- refused files --------------------------------------------------------------------


def test_files_and_contexts_that_cannot_be(source, tmp_path):
    output = tmp_path / "ctx.onnx"
    plain = write(tmp_path / "plain.onnx", make_model())
    with pytest.raises(UsageError, match=r"frozen in \(color < rotate < blur"):
        specialize(output, ranking=RANKING, source=plain)
    with pytest.raises(ContextError, match="no such file"):
        specialize(output, ranking=RANKING, source=tmp_path / "none.onnx")
    with pytest.raises(RankingError, match="did you mean color"):
        specialize(output, ranking="colour,blur", source=source)
    with pytest.raises(UsageError, match="needs a context"):
        specialize(output, source=source)
    manifest = make_manifest(universal=True)
    broken = write(tmp_path / "broken.onnx", make_model(manifest))
    with pytest.raises(ContextError, match=r"broken.onnx: has the inputs"):
        specialize(output, ranking=RANKING, source=broken)
    assert not output.exists()


def test_an_existing_output_is_refused_before_the_work(source, tmp_path, monkeypatch):
    output = tmp_path / "ctx.onnx"
    output.write_bytes(b"mine")
    monkeypatch.setattr(specializing, "read_context_file", None)
    with pytest.raises(OutputError, match="exists already"):
        specialize(output, ranking=RANKING, source=source)
    assert output.read_bytes() == b"mine"


@pytest.mark.parametrize("wrong", [1.01, float("nan")])
def test_a_file_that_computes_something_else_is_not_written(source, tmp_path, monkeypatch, wrong):
    right = leaner.embed_importances

    def spoiled(model, importances):
        right(model, [wrong * value for value in importances])

    monkeypatch.setattr(leaner, "embed_importances", spoiled)
    with pytest.raises(SpecializeError, match="no file was written"):
        specialize(tmp_path / "ctx.onnx", ranking=RANKING, source=source)
    assert list(tmp_path.iterdir()) == []
