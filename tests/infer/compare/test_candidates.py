"""Many candidates and many contexts: one table, a column a context."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from infer_helpers import encode, make_manifest, make_model, write

from dps_infer import Metric
from dps_infer.compare.candidates import compare_candidates
from dps_infer.compare.metric import Comparison
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import load_picture
from dps_infer.show.lines import result_lines
from dps_infer.show.words import formula

BATCHES = 1e-6
"""Relative. onnxruntime adds up single precision in another order when a batch is larger."""


@pytest.fixture
def images(tmp_path, photo):
    """A reference, itself, and candidates in which green, then red, differ by 64 of 255."""
    paths = {}
    for name, channel in (("a", None), ("green", 1), ("red", 0)):
        other = photo.copy()
        if channel is not None:
            values = photo[:, :, channel]
            other[:, :, channel] = np.where(values < 128, values + 64, values - 64)
        paths[name] = tmp_path / f"{name}.png"
        paths[name].write_bytes(encode(".png", other))
    return paths


@pytest.fixture
def other_context(tmp_path):
    """Another name, so that the two contexts can be distinguished."""
    manifest = make_manifest()
    metric = type(manifest.metric)(
        **{f: getattr(manifest.metric, f) for f in manifest.metric.__struct_fields__}
        | {"name": "other"}
    )
    return write(tmp_path / "other.onnx", make_model(make_manifest(metric=metric)))


def test_candidates_are_rows_in_their_order(cli, images, context_path):
    outcome = cli("compare", images["a"], *images.values(), "--context", context_path)
    assert outcome.code == 0
    head, *rows, last = outcome.out.splitlines()
    assert head.split() == ["candidate", "distance"]
    assert [row.split(maxsplit=1) for row in rows] == [
        [str(images["a"]), "0 (identical images)"],
        [str(images["green"]), "0.25 = 0.25 softer (about sigma 2.5 px)"],
        [str(images["red"]), "0.063 = 0.063 turned clockwise by about 2.5 degrees"],
    ]
    assert last == "context fake: color < rotate < blur (blur matters most)"


def test_contexts_are_columns(cli, images, universal_path):
    rankings = ("--ranking", "color,rotate,blur", "--ranking", "color,blur,rotate")
    given = ("compare", images["a"], images["green"], "--context", universal_path, *rankings)
    outcome = cli(*given)
    assert outcome.out.splitlines() == [
        f"{'candidate':{len(str(images['green']))}}  [1]            [2]",
        f"{images['green']}  0.25 (softer)  0.10 (softer)",
        "[1] universal: color < rotate < blur (blur matters most)",
        "[2] universal: color < blur < rotate (rotate matters most)",
    ]
    records = json.loads(cli(*given, "--json").out)
    assert [record["context"]["label"] for record in records] == [
        "color-rotate-blur",
        "color-blur-rotate",
    ]
    assert records[1]["distance"] == pytest.approx(records[0]["distance"] / 2.5)


def test_json_is_an_array_candidate_by_candidate(cli, images, context_path, other_context):
    contexts = ("--context", context_path, "--context", other_context)
    given = ("compare", images["a"], images["green"], images["red"], *contexts, "--json")
    records = json.loads(cli(*given).out)
    assert [(Path(r["candidate"]).stem, r["context"]["label"]) for r in records] == [
        ("green", "fake"),
        ("green", "other"),
        ("red", "fake"),
        ("red", "other"),
    ]
    alone = cli("compare", images["a"], images["red"], "--context", context_path, "--json")
    assert set(alone.record) == set(records[2])
    assert alone.record["distance"] == pytest.approx(records[2]["distance"], rel=BATCHES)


@pytest.mark.parametrize(
    ("threshold", "code", "above"), [("0.1", 3, 1), ("0.05", 3, 2), ("1", 0, 0)]
)
def test_any_candidate_above_the_threshold_counts(
    cli, images, context_path, threshold, code, above
):
    given = ("compare", images["a"], *images.values(), "--context", context_path)
    outcome = cli(*given, "--threshold", threshold)
    assert outcome.code == code
    assert outcome.out.splitlines()[-1] == f"{above} of 3 above the threshold {threshold}"


def test_any_context_above_the_threshold_counts(cli, images, universal_path):
    rankings = ("--ranking", "color,blur,rotate", "--ranking", "color,rotate,blur")
    given = ("compare", images["a"], images["green"], "--context", universal_path, *rankings)
    outcome = cli(*given, "--threshold", "0.2")
    assert outcome.code == 3
    assert outcome.out.splitlines()[-2:] == [
        "[1] 0 of 1 above the threshold 0.2",
        "[2] 1 of 1 above the threshold 0.2",
    ]


def test_one_bad_candidate_is_one_line_and_no_result(cli, images, context_path, tmp_path):
    missing = tmp_path / "missing.png"
    outcome = cli("compare", images["a"], images["red"], missing, "--context", context_path)
    assert outcome.code == 1
    assert f"{missing}: no such file" in outcome.error_line


def test_the_reference_is_decoded_once(images, context, monkeypatch):
    read = []

    def load(source, **options):
        read.append(source)
        return load_picture(source, **options)

    monkeypatch.setattr("dps_infer.compare.stream.load_picture", load)
    compare_candidates(images["a"], [images["red"]] * 5, {"fake": context})
    assert read.count(images["a"]) == 1
    assert read.count(images["red"]) == 5


def test_candidates_are_compared_as_pairs_are(images, context, universal, photo):
    contexts = {"plain": context, "universal": universal}
    candidates = [images["green"], photo, encode(".png", photo), images["red"]]
    results = compare_candidates(images["a"], candidates, contexts, batch_size=2)
    for candidate, comparisons in zip(candidates, results, strict=True):
        for label, comparison in comparisons.items():
            expected = contexts[label].compare(images["a"], candidate)
            assert comparison.distance == pytest.approx(expected.distance, rel=BATCHES)
            assert comparison.parts == pytest.approx(expected.parts, rel=BATCHES)
            assert comparison.identical == expected.identical


def test_arguments_are_checked(images, context):
    with pytest.raises(UsageError, match="at least one context"):
        compare_candidates(images["a"], [images["red"]], {})
    small = np.zeros((12, 16, 3), np.uint8)
    with pytest.raises(ImageError, match=r"32x24.*16x12"):
        compare_candidates(images["a"], [small], {"fake": context})


def test_names_do_not_drive_the_terminal(cli, images, context_path, tmp_path):
    evil = tmp_path / "\x1b[31m\nred.png"
    evil.write_bytes(images["red"].read_bytes())
    outcome = cli("compare", images["a"], evil, images["red"], "--context", context_path)
    assert "\x1b" not in outcome.out
    assert len(outcome.out.splitlines()) == 4


def single(distance: float) -> Comparison:
    amounts = {"other": distance}
    return Comparison(distance, amounts, amounts, {}, identical=False, notes=(), provider="")


def test_a_metric_with_a_single_amount_gives_just_the_number(context):
    assert formula(single(0.81)) == "0.81"
    rows = [(["a.png"], {"x": single(0.81), "y": single(0.5)})]
    lines = result_lines(["candidate"], rows, {"x": context, "y": context})
    assert lines[1] == "a.png      0.81  0.50"


# --- heat maps ------------------------------------------------------------------------


def test_one_map_is_one_file_of_the_size_of_the_image(cli, images, context_path, tmp_path):
    heat = tmp_path / "new" / "heat.png"
    given = ("compare", images["a"], images["red"], "--context", context_path, "--json")
    outcome = cli(*given, "--map", heat)
    assert outcome.code == 0
    assert outcome.record["map"] == str(heat)
    assert cv2.imread(str(heat)).shape == (24, 32, 3)
    before = heat.read_bytes()
    again = cli(*given, "--map", heat)
    assert "--force" in again.error_line
    assert heat.read_bytes() == before
    assert cli(*given, "--map", heat, "--overlay", "--force").code == 0
    assert heat.read_bytes() != before


def test_many_maps_go_into_a_folder(cli, images, universal_path, tmp_path):
    rankings = ("--ranking", "color,rotate,blur", "--ranking", "color,blur,rotate")
    twins = [images["red"], images["red"]]
    given = ("compare", images["a"], *twins, "--context", universal_path, *rankings)
    refused = cli(*given, "--map", tmp_path / "heat.png")
    assert refused.code == 2
    assert "4 maps" in refused.error_line
    folder = tmp_path / "maps"
    records = json.loads(cli(*given, "--map", folder, "--json").out)
    written = sorted(str(path) for path in folder.rglob("*.png"))
    assert written == sorted(record["map"] for record in records)
    assert [Path(path).relative_to(folder).as_posix() for path in written] == [
        "1-color-rotate-blur/1-red.png",
        "1-color-rotate-blur/2-red.png",
        "2-color-blur-rotate/1-red.png",
        "2-color-blur-rotate/2-red.png",
    ]


def test_names_of_contexts_cannot_lead_out_of_the_folder(cli, images, tmp_path):
    manifest = make_manifest()
    values = {f: getattr(manifest.metric, f) for f in manifest.metric.__struct_fields__}
    metric = type(manifest.metric)(**values | {"name": "../../evil"})
    path = write(tmp_path / "evil.onnx", make_model(make_manifest(metric=metric)))
    folder = tmp_path / "deep" / "maps"
    contexts = ("--context", path, "--context", path)
    assert cli("compare", images["a"], images["red"], *contexts, "--map", folder).code == 0
    assert len(list(folder.glob("*.png"))) == 2
    assert not list(tmp_path.glob("*evil*.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--overlay"], 2, "need --map"),
        (["--map-part", "blur"], 2, "need --map"),
        (["--map", "heat.txt"], 1, "expected a name that ends in"),
        (["--map", "heat.png", "--map-part", "hue"], 2, "unknown part 'hue'"),
        (["--map", "heat.png", "--map-part", "size"], 2, "unknown part 'size'"),
    ],
)
def test_maps_that_cannot_be(
    cli, images, universal_path, tmp_path, monkeypatch, arguments, code, expected
):
    monkeypatch.chdir(tmp_path)
    context = ("--context", universal_path, "--ranking", "color,blur")
    outcome = cli("compare", images["a"], images["red"], *context, *arguments)
    assert outcome.code == code
    assert expected in outcome.error_line
    assert not list(tmp_path.glob("heat*"))


def test_the_parts_of_a_map(cli, images, universal_path, tmp_path):
    context = ("--context", universal_path, "--ranking", "color,rotate,blur")
    for part in ("blur", "rotate"):
        heat = tmp_path / f"{part}.png"
        given = ("compare", images["a"], images["red"], *context, "--map", heat)
        assert cli(*given, "--map-part", part).code == 0
    assert cv2.imread(str(tmp_path / "rotate.png")).mean() > 60
    assert cv2.imread(str(tmp_path / "blur.png")).mean() < 5


def test_a_public_context_maps_what_it_compares(images, context_path):
    context = Metric.load(context_path, device="cpu", threads=1)
    (result,) = compare_candidates(images["a"], [images["red"]], {"fake": context}, with_map=True)
    assert result["fake"].map is not None
    assert result["fake"].map.mean() == pytest.approx(result["fake"].distance, rel=1e-5)
