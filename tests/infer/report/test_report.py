"""The report: the content of the page, its sources, and missing files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re

import cv2
import numpy as np
import pytest
from infer_helpers import DRAWN, encode, make_manifest, make_model, write
from report_helpers import HOSTILE, data_of, make_images, policy_of, write_results

from dps_infer import Metric
from dps_infer.bulk.threshold_estimate import make_threshold
from dps_infer.bulk.thresholds import default_path, write_threshold
from dps_infer.errors import TableError, ThresholdError, UsageError
from dps_infer.report.build import build_report
from dps_infer.report.examples import examples
from dps_infer.report.maps import LONGEST, color_table, quantize
from dps_infer.report.rows import load_results
from dps_infer.show.heatmap import paint
from dps_infer.show.phrases import kind_words
from dps_infer.show.words import anchor_words

RANKINGS = ("blur,color,rotate", "rotate,color,blur")


@pytest.fixture(scope="module")
def contexts(universal):
    opened = [universal.in_context(ranking=ranking) for ranking in RANKINGS]
    return {context.label: context for context in opened}


@pytest.fixture
def results(tmp_path, context):
    return write_results(
        tmp_path / "results.csv", make_images(tmp_path, 6), {context.label: context}
    )


def picture_of(url: str) -> np.ndarray:
    data = base64.b64decode(url.removeprefix("data:image/webp;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


# --- rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_of_every_format(tmp_path, context, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    pairs = [*make_images(tmp_path, 3), ("reference.png", "gone.png")]
    path = tmp_path / f"results{suffix}"
    write_results(path, pairs, {context.label: context}, extra={"scene": "7"})
    found = load_results(path)
    assert list(zip(found.pairs.reference, found.pairs.candidate, strict=True)) == pairs
    assert found.pairs.identical == [True, False, False, False]
    (distances,) = found.pairs.distance
    assert distances[2] > distances[1] > 0
    assert distances[3] is None
    assert "gone.png" in found.pairs.error[3]
    assert found.pairs.other == {"scene": ["7"] * 4}
    (measured,) = found.contexts
    assert (measured.label, measured.words) == (context.label, context.describe())
    parts = [values[2] for values in found.pairs.parts[0]]
    assert dict(zip(measured.parts, parts, strict=True)) == pytest.approx(
        context.compare(tmp_path / "reference.png", tmp_path / "candidate-2.png").parts
    )


def test_several_contexts_keep_their_labels_and_words(tmp_path, contexts):
    found = load_results(write_results(tmp_path / "r.csv", make_images(tmp_path, 2), contexts))
    assert [(m.label, m.words) for m in found.contexts] == [
        (label, context.describe()) for label, context in contexts.items()
    ]


def test_the_worst_pairs_of_several_contexts_take_turns(tmp_path):
    path = tmp_path / "r.jsonl"
    lines = [
        {"reference": "r", "candidate": str(n), "distance.a": a, "distance.b": b}
        for n, (a, b) in enumerate([(1, 9), (3, 1), (2, 5), (None, None)])
    ]
    rest = {"identical": False, "notes": "", "context": "", "error": ""}
    path.write_text("\n".join(json.dumps({**line, **rest}) for line in lines))
    found = load_results(path)
    assert found.worst(2) == [1, 0]
    assert found.worst(100) == [1, 0, 2]
    assert found.pairs.error[3] != ""


def test_distances_of_different_contexts_are_not_mixed(results):
    text = results.read_text()
    results.write_text(text + text.splitlines()[1].replace("matters most", "matters least") + "\n")
    with pytest.raises(TableError, match="different contexts"):
        load_results(results)


# --- the page --------------------------------------------------------------------------


def test_the_page_allows_nothing_but_itself(results):
    page = build_report(results).page
    policy = policy_of(page)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = page.decode()
    assert not re.search(r"https?:|//[a-z]+\.[a-z]", text.replace("// ", ""))
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_names_and_titles_are_text(results):
    page = build_report(results, title="</title><script>alert(1)</script>").page
    assert HOSTILE.encode() not in page
    assert b"<script>alert(1)" not in page
    assert HOSTILE in data_of(page)["pairs"]["candidate"]


def test_a_title_without_utf_8(results):
    page = build_report(results, title=os.fsdecode(b"caf\xe9")).page
    assert "<h1>caf&#56553;</h1>" in page.decode("utf-8")


def test_equal_results_give_equal_pages(results, context):
    options = {"metrics": {context.label: context}, "threshold": 0.1}
    assert build_report(results, **options).page == build_report(results, **options).page


def test_numbers_keep_every_digit(results, tmp_path, context):
    data = data_of(build_report(results).page)
    for candidate, distance in zip(data["pairs"]["candidate"], data["pairs"]["distance"][0]):  # noqa: B905
        exact = context.compare(tmp_path / "reference.png", tmp_path / candidate).distance
        assert distance == exact


# --- pictures --------------------------------------------------------------------------


def test_each_image_is_embedded_once(results):
    options = {"thumbnail": 16, "preview": 32, "worst_pairs": 2, "exact": 0}
    data = data_of(build_report(results, **options).page)
    assert len(data["images"]) == 7
    assert set(data["pairs"]["referenceImage"]) == {0}
    assert picture_of(data["images"][0]["thumbnail"]).shape == (12, 16, 3)
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (40, 30)
    # The worst two, and their reference.
    assert sum(image["preview"] is not None for image in data["images"]) == 3
    assert picture_of(data["images"][0]["preview"]).shape == (24, 32, 3)
    assert not any(image["exact"] for image in data["images"])


def test_the_worst_pairs_keep_every_pixel_while_there_is_room(results, tmp_path):
    images = data_of(build_report(results, thumbnail=16, preview=32, worst_pairs=3).page)["images"]
    exact = [number for number, image in enumerate(images) if image["exact"]]
    assert exact == [0, 4, 5, 6]
    encoded = images[6]["preview"].removeprefix("data:image/png;base64,")
    kept = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(kept, cv2.imread(str(tmp_path / "candidate-5.png")))
    # Room for the worst pair alone: none is passed over for one that is less different.
    room = (len(images[0]["preview"]) + len(images[6]["preview"])) / 1e6
    images = data_of(build_report(results, worst_pairs=3, exact=room).page)["images"]
    assert [number for number, image in enumerate(images) if image["exact"]] == [0, 6]
    # Images that are far too large are not even encoded.
    images = data_of(build_report(results, worst_pairs=3, exact=1e-6).page)["images"]
    assert not any(image["exact"] for image in images)


def test_the_command_takes_the_room_for_exact_images(cli, results, tmp_path):
    for megabytes, kept in (("16", True), ("0", False)):
        page = tmp_path / "page.html"
        outcome = cli("report", results, "-o", page, "--force", "--exact", megabytes)
        assert outcome.code == 0, outcome.err
        images = data_of(page.read_bytes())["images"]
        assert any(image["exact"] for image in images) == kept
    assert cli("report", results, "-o", page, "--force", "--exact", "-1").code == 2


def test_a_missing_image_has_its_reason_and_no_path(results, tmp_path):
    (tmp_path / "candidate-3.png").unlink()
    report = build_report(results)
    images = data_of(report.page)["images"]
    (missing,) = [image for image in images if image["thumbnail"] is None]
    assert "no such file" in missing["why"]
    assert str(tmp_path).encode() not in report.page
    (note,) = report.notes
    assert note.startswith("1 of 7 images cannot be shown (candidate-3.png: no such file")
    assert "--images" in note


@pytest.mark.parametrize("given", [True, False])
def test_images_somewhere_else(results, tmp_path, monkeypatch, given):
    elsewhere = tmp_path / "elsewhere" / "results.csv"
    elsewhere.parent.mkdir()
    results.rename(elsewhere)
    if not given:
        monkeypatch.chdir(tmp_path)
    report = build_report(elsewhere, images=tmp_path if given else None)
    assert report.notes == ()


@pytest.mark.parametrize("name", ["", ".", "x" * 5000, "a\\u0000b", "https://a.b/c.png"])
def test_names_that_are_no_files(tmp_path, name):
    values = {"distance": 1.0, "identical": False, "notes": "", "context": "", "error": ""}
    line = json.dumps({"reference": "NAME", "candidate": "NAME", **values})
    path = tmp_path / "r.jsonl"
    path.write_text(line.replace("NAME", name) + "\n")
    report = build_report(path)
    assert data_of(report.page)["images"][0]["why"]
    # A row that names no image has an error of its own.
    noted = bool(report.notes) and report.notes[0].startswith("1 of 1 images cannot be shown")
    assert noted == bool(name)


# --- contexts --------------------------------------------------------------------------


def test_heat_maps_of_the_worst_pairs_in_each_context(tmp_path, contexts):
    path = write_results(tmp_path / "r.csv", make_images(tmp_path, 5), contexts)
    report = build_report(path, metrics=contexts, worst_pairs=2)
    data = data_of(report.page)
    assert report.notes == ()
    assert [sorted(maps) for maps in data["maps"]] == [["3", "4"], ["3", "4"]]
    heat = data["maps"][0]["4"]
    expected = contexts["blur-color-rotate"].compare(
        tmp_path / "reference.png", tmp_path / "candidate-4.png"
    )
    assert (heat["distance"], heat["size"]) == (expected.distance, expected.size)
    assert heat["words"] == {
        name: kind_words(name, expected) for name, part in expected.parts.items() if part
    }
    assert set(heat["words"]) == {"rotate", "color", "blur"}
    assert heat["anchors"] == anchor_words(expected.anchors)
    cells = np.frombuffer(base64.b64decode(heat["cells"]), np.uint8)
    cells = cells.reshape(heat["height"], heat["width"])
    assert cells.shape == (30, 40)
    # The change is in the upper third.
    assert cells[:6].min() > 0
    assert not cells[20:].any()
    assert data["contexts"][0]["importances"] == contexts["blur-color-rotate"].importances


def test_without_a_context_there_are_no_maps(results):
    data = data_of(build_report(results).page)
    assert data["maps"] == [None]
    assert data["contexts"][0]["importances"] is None


def test_contexts_that_are_not_the_results_own(results, contexts):
    with pytest.raises(UsageError, match="fake"):
        build_report(results, metrics=contexts)


def test_maps_of_other_images_are_told(results, tmp_path, context):
    (tmp_path / "candidate-5.png").write_bytes((tmp_path / "candidate-2.png").read_bytes())
    report = build_report(results, metrics={context.label: context})
    assert any(
        note.startswith("1 of the heat maps belong to other distances") for note in report.notes
    )


def test_a_map_that_cannot_be_made_says_why(results, tmp_path, context):
    (tmp_path / "candidate-5.png").write_bytes(encode(".png", np.zeros((8, 9, 3), np.uint8)))
    data = data_of(build_report(results, metrics={context.label: context}).page)
    assert "sizes differ" in data["maps"][0]["5"]["why"]
    assert str(tmp_path) not in data["maps"][0]["5"]["why"]


def test_maps_are_on_the_fixed_scale():
    local = np.array([[0.0, 0.5], [1.5, 1e9]], np.float32)
    heat = quantize(local)
    assert list(base64.b64decode(heat.cells)) == [0, 128, 191, 255]
    colors = np.frombuffer(base64.b64decode(color_table()), np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(
        colors[[0, 128, 191]], paint(np.array([[0.0, 0.5, 1.5]], np.float32))[0]
    )


def test_large_maps_are_averaged():
    heat = quantize(np.full((100, 1000), 0.5, np.float32))
    assert (heat.height, heat.width) == (6, LONGEST)
    assert set(base64.b64decode(heat.cells)) == {128}


def test_examples_are_strong_changes_of_the_distortions_that_are_known(context):
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    before = picture.copy()
    found = examples(context, picture)
    by_name = {example.name: example for example in found}
    # The fake context names a mirror image too, for which there is no example.
    assert next(iter(by_name)) == ""
    assert sorted(by_name) == sorted(["", *DRAWN])
    assert [e.distance for e in found] == sorted(e.distance for e in found)
    np.testing.assert_array_equal(by_name[""].pixels, before)
    np.testing.assert_array_equal(by_name["darken"].pixels, np.rint(before * 0.5))
    np.testing.assert_array_equal(by_name["translate"].pixels[:, 3:], before[:, :9])
    assert not by_name["translate"].pixels[:, :3].any()
    np.testing.assert_array_equal(by_name["rotate"].pixels, np.rot90(before))
    assert by_name["blur"].pixels.std() < before.std()
    assert {name: example.strength for name, example in by_name.items() if name} == {
        "rotate": "90 degrees",
        "translate": "25 % of the side",
        "darken": "50 % darker",
        "color": "hue by 0.25 turns",
        "blur": "sigma 6.25 % of the side",
        "zoom": "1.5 times",
    }
    for example in found[1:]:
        assert example.distance == context.compare(picture, example.pixels).distance
    np.testing.assert_array_equal(picture, before)


# --- the command -----------------------------------------------------------------------


def test_the_command_writes_a_page(cli, results, tmp_path, context_path):
    output = tmp_path / "out" / "report.html"
    arguments = ("report", results, "-o", output, "--context", context_path, "--threshold", "0.1")
    outcome = cli(*arguments)
    assert outcome.code == 0
    assert outcome.out == ""
    assert outcome.err.splitlines()[-1].startswith(f"dps-infer: wrote {output}: 6 pairs, ")
    assert data_of(output.read_bytes())["thresholds"] == [0.1]
    again = cli(*arguments)
    assert again.code == 1
    assert "--force" in again.error_line
    assert cli(*arguments, "--force").code == 0


def test_a_threshold_of_its_own_for_each_context(tmp_path):
    """Two context files, each with its threshold beside it, in another order than the results'."""
    opened = {}
    for number, name in enumerate(("one", "two"), start=1):
        manifest = make_manifest()
        manifest.metric.name = name
        context = Metric.load(write(tmp_path / f"{name}.onnx", make_model(manifest)))
        threshold = make_threshold([number / 10] * 300, context, references=1)
        write_threshold(threshold, default_path(context))
        opened[name] = context
    results = write_results(tmp_path / "r.csv", make_images(tmp_path, 3), opened)
    swapped = dict(reversed(opened.items()))
    options = {"metrics": swapped, "worst_pairs": 0}
    data = data_of(build_report(results, threshold="auto", **options).page)
    assert [context["label"] for context in data["contexts"]] == ["one", "two"]
    assert data["thresholds"] == pytest.approx([0.1, 0.2], rel=1e-3)
    with pytest.raises(ThresholdError, match="another context file"):
        build_report(results, threshold=str(tmp_path / "one.threshold.json"), **options)
    assert data_of(build_report(results, threshold=0.3).page)["thresholds"] == [0.3, 0.3]
    assert data_of(build_report(results).page)["thresholds"] == [None, None]


def test_a_threshold_file_for_the_command(cli, results, tmp_path, context, context_path):
    file = tmp_path / "acceptable.json"
    threshold = make_threshold([0.25] * 300, context, references=1)
    write_threshold(threshold, file)
    output = tmp_path / "report.html"
    arguments = ("report", results, "-o", output, "--threshold", file)
    refused = cli(*arguments)
    assert refused.code == 2
    assert "give the --context" in refused.error_line
    for wrong in ("nan", "-1", "much"):
        refused = cli("report", results, "-o", output, "--threshold", wrong)
        assert (refused.code, output.exists()) == (2, False)
        assert "expected a" in refused.err
    with pytest.raises(UsageError, match="finite number >= 0"):
        build_report(results, threshold=-1)
    assert cli(*arguments, "--context", context_path).code == 0
    assert data_of(output.read_bytes())["thresholds"] == [threshold.threshold]


@pytest.mark.parametrize(
    ("content", "options", "code", "expected"),
    [
        (None, (), 1, "no such file"),
        ("reference,candidate\na.png,b.png\n", (), 1, "is not a file of results"),
        ("reference,candidate,distance,identical,notes,context,error\n", (), 1, "has no rows"),
        ("same", ("--threshold", "auto"), 2, "give the --context"),
        ("same", ("--ranking", "blur,color", "--importance", "blur=1"), 2, "give one"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_page(
    cli, results, tmp_path, content, options, code, expected
):
    if content is None:
        results.unlink()
    elif content != "same":
        results.write_text(content)
    before = sorted(tmp_path.iterdir())
    outcome = cli("report", results, "-o", tmp_path / "report.html", *options)
    assert outcome.code == code
    assert expected in outcome.error_line
    assert sorted(tmp_path.iterdir()) == before
