"""The command line: its output on stdout and stderr, and its exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from infer_helpers import (
    KINDS,
    bomb,
    encode,
    make_manifest,
    make_model,
    python,
    without_progress,
    write,
)

from dps_infer.contexts.ranking import IMPORTANCE_RATIO
from dps_infer.model.manifest import decode_manifest

MAIN = "from dps_infer.cli import main; main()"


@pytest.fixture
def pair(tmp_path, photo):
    """Two images: green differs by a quarter of its range, which counts as blur."""
    other = photo.copy()
    other[:, :, 1] = np.where(photo[:, :, 1] < 128, photo[:, :, 1] + 64, photo[:, :, 1] - 64)
    for name, pixels in (("a.png", photo), ("b.png", other)):
        (tmp_path / name).write_bytes(encode(".png", pixels))
    return tmp_path / "a.png", tmp_path / "b.png"


# --- compare --------------------------------------------------------------------------


def test_compare_in_words(cli, pair, context_path):
    outcome = cli("compare", *pair, "--context", context_path, "--threads", 1)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "0.25 = 0.25 softer (about sigma 2.5 px)",
        "about as different as JPEG quality 70 of a typical photograph",
        "more different than 63 % of rotations and none of the blurs",
        "context fake: color < rotate < blur (blur matters most)",
    ]
    assert outcome.err == "dps-infer: computed by CPUExecutionProvider, CPU threads: 1\n"


def test_compare_as_json(cli, pair, context_path):
    outcome = cli("compare", *pair, "--context", context_path, "--json", "--threads", 2)
    assert outcome.code == 0
    assert "CPUExecutionProvider" in outcome.err
    record = outcome.record
    assert list(record) == [
        "reference",
        "candidate",
        "identical",
        "notes",
        "ignored",
        "distance",
        "size",
        "amounts",
        "parts",
        "strengths",
        "directions",
        "percentiles",
        "anchors",
        "threshold",
        "gate",
        "above",
        "regions",
        "context",
        "provider",
        "threads",
        "map",
    ]
    assert (record["reference"], record["candidate"]) == (str(pair[0]), str(pair[1]))
    assert record["distance"] == float(np.float32(record["distance"]))
    assert record["distance"] == pytest.approx(64 / 255, rel=1e-6)
    assert record["provider"] == "CPUExecutionProvider"
    assert record["threads"] == 2
    assert record["context"]["ranking"] == [["color"], ["rotate"], ["blur"]]
    assert (record["threshold"], record["above"]) == (None, None)
    assert record["strengths"] == {"blur": pytest.approx(10 * 64 / 255, rel=1e-6)}
    assert record["directions"] == {"blur": 1.0}
    assert record["size"] == pytest.approx(64 / 255 / 3, rel=1e-5)
    # The distances of the qualities 90, 50 and 10 are 0.2, 0.3 and 0.6.
    quality = 90 - 40 * (64 / 255 - 0.2) / 0.1
    expected = {"value": pytest.approx(quality, rel=1e-5), "beyond": 0}
    assert record["anchors"] == {"JPEG quality": expected}


def test_identical_images(cli, pair, context_path):
    outcome = cli("compare", pair[0], pair[0], "--context", context_path)
    assert outcome.out.splitlines()[0] == "0 (identical images)"


@pytest.mark.parametrize(
    ("threshold", "code"), [("0.1", 3), ("0.5", 0), ("0", 3), ("0.25098039215686274", 0)]
)
def test_threshold(cli, pair, context_path, threshold, code):
    # The float32 distance of the last case is the float64 64/255 rounded down or up: it is
    # the same number or a smaller one.
    outcome = cli("compare", *pair, "--context", context_path, "--json", "--threshold", threshold)
    assert outcome.record["above"] == (outcome.record["distance"] > float(threshold))
    assert outcome.code == (3 if outcome.record["above"] else 0)
    if threshold in ("0.1", "0.5", "0"):
        assert outcome.code == code
    words = cli("compare", *pair, "--context", context_path, "--threshold", threshold)
    assert words.code == outcome.code
    assert words.out.splitlines()[-1].startswith("above" if outcome.code else "not above")


def test_identical_images_are_not_above_zero(cli, pair, context_path):
    arguments = ("compare", pair[0], pair[0], "--context", context_path, "--threshold", 0)
    assert cli(*arguments).code == 0


def test_notes_go_to_stderr_and_into_the_record(cli, tmp_path, photo, context_path):
    deep = tmp_path / "deep.png"
    deep.write_bytes(encode(".png", photo.astype(np.uint16) * 257))
    outcome = cli("compare", deep, deep, "--context", context_path, "--json")
    assert f"dps-infer: note: {deep}: 16-bit" in outcome.err
    assert outcome.record["notes"][0].startswith(f"{deep}: 16-bit")


def test_resize(cli, tmp_path, pair, photo, context_path):
    small = tmp_path / "small.png"
    small.write_bytes(encode(".png", photo[:12, :16].copy()))
    refused = cli("compare", pair[0], small, "--context", context_path)
    assert refused.code == 1
    for word in (str(pair[0]), str(small), "32x24", "16x12", "--resize"):
        assert word in refused.error_line
    assert cli("compare", pair[0], small, "--context", context_path, "--resize").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threshold", "-1"],
        ["--threshold", "nan"],
        ["--threshold", "inf"],
        ["--threshold", "much"],
        ["--threads", "0"],
        ["--device", "tpu"],
        ["--no-such-option"],
        ["--overlay"],
    ],
)
def test_wrong_usage(cli, pair, context_path, arguments):
    outcome = cli("compare", *pair, "--context", context_path, *arguments)
    assert outcome.code == 2
    assert outcome.out == ""


def test_missing_arguments_are_wrong_usage(cli, pair):
    assert cli("compare", pair[0]).code == 2
    assert cli("compare").code == 2
    assert cli("no-such-command").code == 2


def test_cuda_is_refused_where_there_is_none(cli, pair, context_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime offers CUDA here")
    outcome = cli("compare", *pair, "--context", context_path, "--device", "cuda")
    assert outcome.code == 1
    assert "CUDA was asked for" in outcome.error_line


# --- a context at run time ------------------------------------------------------------

RANKING = "color,rotate,blur"


@pytest.fixture
def embedded(universal_path, monkeypatch):
    """Let the universal file of the tests be the one that comes with the package."""
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", universal_path)
    return universal_path


def test_a_ranking_needs_no_file(cli, pair, embedded):
    outcome = cli("compare", *pair, "--ranking", RANKING, "--threads", 1)
    assert outcome.code == 0
    first, *_, last = outcome.out.splitlines()
    assert first == "0.25 = 0.25 softer (about sigma 2.5 px)"
    assert last == "context universal: color < rotate < blur (blur matters most)"
    assert outcome.err == "dps-infer: computed by CPUExecutionProvider, CPU threads: 1\n"


def test_importances_need_no_file(cli, pair, embedded):
    outcome = cli("compare", *pair, "--importance", "color=0.1,blur=2", "--json")
    record = outcome.record
    assert record["distance"] == pytest.approx(2 * 64 / 255, rel=1e-6)
    assert record["context"] == {
        "label": "color-0.1_blur-2",
        "name": "universal",
        "sha256": hashlib.sha256(embedded.read_bytes()).hexdigest(),
        "ranking": None,
        "importances": {**dict.fromkeys(KINDS, 0), "color": 0.1, "blur": 2},
    }


def test_a_universal_file_may_be_named(cli, pair, universal_path):
    given = ("compare", *pair, "--context", universal_path)
    record = cli(*given, "--ranking", RANKING, "--json").record
    assert record["context"]["ranking"] == [["color"], ["rotate"], ["blur"]]
    assert cli(*given, "--importance", "blur=1").code == 0


def test_the_rest_and_other_may_be_ranked(cli, pair, embedded):
    # The change counts as blur, which has the second place of four.
    for ranking in ("color,*,zoom,other", "color,blur,zoom,other"):
        record = cli("compare", *pair, "--ranking", ranking, "--json").record
        assert record["distance"] == pytest.approx(IMPORTANCE_RATIO**-2 * 64 / 255, rel=1e-5)
        assert record["context"]["importances"]["other"] == 1
    assert record["context"]["ranking"] == [["color"], ["blur"], ["zoom"], ["other"]]


def test_the_general_context_is_the_size(cli, pair, embedded):
    record = cli("compare", *pair, "--context-name", "general", "--json").record
    assert record["distance"] == record["size"] == pytest.approx(64 / 255 / 3, rel=1e-5)
    assert record["parts"]["blur"] == pytest.approx(record["size"], rel=1e-6)
    assert sum(record["parts"].values()) == pytest.approx(record["size"], rel=1e-6)


def test_there_are_no_views(cli, pair, context_path):
    outcome = cli("compare", *pair, "--context", context_path, "--view", "tiles")
    assert outcome.code == 2
    assert "No such option: --view" in outcome.err


def test_what_matters_must_be_said_once(cli, pair, embedded, context_path):
    def error(*arguments: object) -> str:
        outcome = cli("compare", *pair, *arguments)
        assert outcome.code == 2
        return outcome.error_line

    for option in ("--ranking color,", "--importance color=0.1", "--context FILE"):
        assert option in error()
    assert "give one" in error("--ranking", RANKING, "--importance", "blur=1")
    for option in ("--ranking rotate,", "--importance rotate=0.1"):
        assert option in error("--context", embedded)
    for given in (("--ranking", RANKING), ("--importance", "blur=1")):
        assert "color < rotate < blur" in error("--context", context_path, *given)
    assert "did you mean color" in error("--ranking", "colour,blur")
    assert "every importance is 0" in error("--importance", "blur=0")


def test_without_the_embedded_file_there_is_a_clear_line(cli, pair, tmp_path, monkeypatch):
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", tmp_path / "universal.onnx")
    for arguments in (("compare", *pair, "--ranking", RANKING), ("info",)):
        outcome = cli(*arguments)
        assert outcome.code == 1
        assert f"{tmp_path / 'universal.onnx'}: no such file" in outcome.error_line


def test_info_without_a_file_is_of_the_embedded_one(cli, embedded):
    outcome = cli("info", "--all")
    assert outcome.code == 0
    for words in (str(embedded), "universal: given at run time", "pixels of sigma"):
        assert words in outcome.out
    short = cli("info").out
    assert str(embedded) in short
    assert len(short.splitlines()) <= 10
    manifest = make_manifest(universal=True)
    assert decode_manifest(cli("info", "--json").out) == manifest


# --- bad images -----------------------------------------------------------------------


def bad_image(kind: str, tmp_path, photo):
    path = tmp_path / f"{kind}.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        jpeg = encode(".jpg", photo)
        path.write_bytes(jpeg[: len(jpeg) // 2])
    elif kind == "bomb":
        path.write_bytes(bomb())
    elif kind == "forbidden":
        path.write_bytes(encode(".png", photo))
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "empty"),
        ("text", "not an image in a supported format"),
        ("truncated", "ends too early"),
        ("bomb", "50000x50000"),
        ("forbidden", "no permission"),
    ],
)
@pytest.mark.parametrize("second", [False, True])
def test_bad_images(cli, tmp_path, pair, photo, context_path, kind, expected, second):
    bad = bad_image(kind, tmp_path, photo)
    before = sorted(tmp_path.rglob("*"))
    images = (pair[0], bad) if second else (bad, pair[0])
    outcome = cli("compare", *images, "--context", context_path, "--json")
    assert outcome.code == 1
    assert f"error: {bad}: " in outcome.error_line
    assert expected in outcome.error_line
    assert sorted(tmp_path.rglob("*")) == before


def test_names_cannot_break_the_line_or_drive_the_terminal(cli, pair, context_path, tmp_path):
    outcome = cli("compare", tmp_path / "a\n\x1b[31mb.png", pair[0], "--context", context_path)
    assert outcome.code == 1
    assert "\x1b" not in outcome.error_line


# --- bad contexts ---------------------------------------------------------------------


def bad_context(kind: str, tmp_path):
    path = tmp_path / f"{kind}.onnx"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "bare":
        write(path, make_model(""))
    elif kind == "newer":
        write(path, make_model(make_manifest(format=99)))
    elif kind == "older":
        write(path, make_model(make_manifest(format=3)))
    elif kind == "external":
        model = make_model()
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        tensor.external_data.add(key="location", value="/etc/passwd")
        write(path, model)
    elif kind == "inputs":
        model = make_model()
        model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
        write(path, model)
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "empty"),
        ("text", "no ONNX file"),
        ("bare", "without a manifest"),
        ("newer", "upgrade dps-toolkit"),
        ("older", "manifest format 3, this version reads 4: export the context again"),
        ("external", "external data"),
        ("inputs", "expected reference and distorted"),
    ],
)
def test_bad_contexts(cli, tmp_path, pair, kind, expected):
    bad = bad_context(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    commands = [("compare", *pair, "--context", bad)]
    if kind != "inputs":
        # The manifest of a file can be read without checking its outputs.
        commands.append(("info", bad))
    for arguments in commands:
        outcome = cli(*arguments)
        assert outcome.code == 1
        assert f"error: {bad}: " in outcome.error_line
        assert expected in outcome.error_line
    assert sorted(tmp_path.rglob("*")) == before


# --- info, help, version ---------------------------------------------------------------


def test_info(cli, context_path):
    outcome = cli("info", context_path)
    assert outcome.code == 0
    assert outcome.err == ""
    assert "blur matters most" in outcome.out
    lines = dict(line.split(":", 1) for line in outcome.out.splitlines())
    assert len(lines) <= 10
    assert list(lines) == [
        "context",
        "counts most",
        "counts least",
        "readings",
        "typical",
        "agreement",
        "trained on",
        "file",
        "SHA-256",
        "more",
    ]
    assert lines["counts most"].split()[0] == "blur"
    size = context_path.stat().st_size / 1e6
    assert (
        lines["file"].strip() == f"{context_path}, {size:.1f} MB, compares images at their own size"
    )
    assert lines["SHA-256"].strip() == hashlib.sha256(context_path.read_bytes()).hexdigest()


def test_info_as_json_is_the_manifest(cli, context_path):
    assert decode_manifest(cli("info", context_path, "--json").out) == make_manifest()


def test_info_does_not_drive_the_terminal(cli, tmp_path):
    manifest = make_manifest(map="\x1b[31mred")
    outcome = cli("info", write(tmp_path / "a.onnx", make_model(manifest)))
    assert "\x1b" not in outcome.out


def test_bare_command_shows_help(cli):
    outcome = cli()
    assert outcome.code == 0
    assert "compare" in outcome.out
    assert outcome.out == cli("--help").out


@pytest.mark.parametrize("command", [[], ["compare"], ["info"]])
def test_help_lists_the_exit_codes(cli, command):
    outcome = cli(*command, "--help")
    assert outcome.code == 0
    words = " ".join(outcome.out.split())
    for code in ("Exit codes: 0", "1 ", "2 wrong usage"):
        assert code in words
    assert ("3 a distance is above" in words) == (command != ["info"])


def test_version(cli):
    import dps_infer

    assert cli("--version").out == f"dps-infer {dps_infer.__version__}\n"


# --- failing well ----------------------------------------------------------------------


def test_debug_shows_the_traceback(tmp_path, context_path):
    arguments = ("compare", "no.png", "no.png", "--context", str(context_path))
    result = python("-c", MAIN, *arguments, "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("dps-infer: error: no.png: no such file")


def test_defects_are_told_in_a_line(cli, pair, context_path, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("of all things\nin two lines")

    monkeypatch.setattr("dps_infer.compare.metric.Metric.load", broken)
    outcome = cli("compare", *pair, "--context", context_path)
    assert outcome.code == 1
    assert "unexpected ZeroDivisionError: of all things in two lines" in outcome.error_line
    assert "--debug" in outcome.error_line


@pytest.mark.parametrize(
    ("module", "command"),
    [("torch.nn", "[train,cpu]"), ("onnx", "[export]"), ("numpy", "unexpected")],
)
def test_a_missing_package_is_told_with_what_brings_it(
    cli, pair, context_path, monkeypatch, module, command
):
    def missing(*arguments, **options):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("dps_infer.compare.metric.Metric.load", missing)
    outcome = cli("compare", *pair, "--context", context_path)
    assert outcome.code == 1
    assert module in outcome.error_line
    assert command in outcome.error_line


def test_an_interrupt_leaves_with_130(cli, pair, context_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("dps_infer.compare.metric.Metric.load", interrupted)
    assert cli("compare", *pair, "--context", context_path).code == 130


def test_a_closed_pipe_is_no_drama(pair, context_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", MAIN, "compare", *pair, "--context", context_path]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert result.returncode == 1
    (line,) = without_progress(result.stderr)
    assert "computed by" in line


def test_the_whole_command_in_a_process_of_its_own(pair, context_path):
    arguments = ("compare", *map(str, pair), "--context", str(context_path), "--json")
    result = python("-c", MAIN, *arguments)
    assert result.returncode == 0
    assert json.loads(result.stdout)["distance"] > 0
    assert len(without_progress(result.stderr)) == 1
