"""Thresholds from acceptable pairs: their rate of false alarms, and their refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer import Metric
from dps_infer.bulk.threshold_estimate import MARGIN, make_threshold
from dps_infer.bulk.thresholds import (
    read_threshold,
    resolve_threshold,
    resolve_thresholds,
    write_threshold,
)
from dps_infer.errors import ThresholdError, UsageError

PAIRS = 200


@pytest.fixture
def pairs(tmp_path, photo) -> Path:
    """A file of acceptable pairs of one reference: the k-th has k pixels changed by 10."""
    (tmp_path / "a.png").write_bytes(encode(".png", photo))
    rows = []
    for number in range(PAIRS):
        other = photo.copy()
        other.reshape(-1, 3)[:number, 1] ^= 8
        (tmp_path / f"{number}.png").write_bytes(encode(".png", other))
        rows.append(["a.png", f"{number}.png"])
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["reference", "candidate"], *rows])
    return path


# --- the estimate -------------------------------------------------------------------------


def saved(path: Path, context: Metric, **options: object) -> Path:
    threshold = make_threshold([*range(PAIRS)], context, references=PAIRS, **options)
    write_threshold(threshold, path)
    return path


def test_a_file_reads_as_it_was_written(tmp_path, context):
    threshold = make_threshold([*range(PAIRS)], context, references=7)
    write_threshold(threshold, tmp_path / "t.json")
    assert read_threshold(tmp_path / "t.json") == threshold
    assert threshold.threshold == (PAIRS - 1) * (1 + MARGIN)


def test_numbers_and_files_are_resolved(tmp_path, context, universal):
    path = saved(tmp_path / "t.json", universal)
    assert resolve_threshold(None, context) is None
    assert resolve_threshold("0.25", context) == resolve_threshold(0.25, context) == 0.25
    assert resolve_threshold(str(path), universal) == (PAIRS - 1) * (1 + MARGIN)
    assert resolve_thresholds("0.5", {"a": context, "b": universal}) == {"a": 0.5, "b": 0.5}


def test_a_threshold_of_another_context_is_refused(tmp_path, context, universal):
    path = str(saved(tmp_path / "t.json", universal))
    with pytest.raises(ThresholdError, match="another context file"):
        resolve_threshold(path, context)
    with pytest.raises(ThresholdError, match=r"another context .*color < rotate < blur"):
        resolve_threshold(path, universal.in_context(ranking="blur,rotate,color"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("[]", "is not a threshold file"),
        ("{", "is not a threshold file"),
        ('{"threshold": 1}', "is not a threshold file"),
        ('{"format": true}', "is not a threshold file"),
        ('{"format": 3, "shiny": 1}', "has format 3, this version reads 2: upgrade dps-toolkit"),
        ("older", "has format 1, this version reads 2: run calibrate again"),
    ],
)
def test_an_invalid_threshold_file_is_refused(tmp_path, context, text, words):
    path = saved(tmp_path / "t.json", context)
    if text == "older":
        # Format 1 named the view of the images.
        written = json.loads(path.read_text())
        older = {**written, "format": 1, "context": {**written["context"], "view": "both"}}
        text = json.dumps(older)
    path.write_text(text)
    with pytest.raises(ThresholdError, match=words) as error:
        read_threshold(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["nan", "inf", -1.0])
def test_a_number_that_is_no_threshold_is_refused(context, value):
    with pytest.raises(UsageError, match="finite number >= 0"):
        resolve_threshold(value, context)


def test_auto_needs_a_context_file_of_ones_own():
    with pytest.raises(UsageError, match="calibrate -o FILE"):
        resolve_threshold("auto", Metric.universal(ranking="color,blur", device="cpu"))


# --- the commands -------------------------------------------------------------------------


def test_calibrate_then_compare_with_auto(cli, tmp_path, pairs, context_path):
    ctx = tmp_path / "ctx.onnx"
    ctx.write_bytes(context_path.read_bytes())
    missing = cli(
        "compare", tmp_path / "a.png", tmp_path / "0.png", "--context", ctx, "--threshold", "auto"
    )
    assert "ctx.threshold.json: no such file" in missing.error_line
    done = cli("calibrate", pairs, "--context", ctx, "--json")
    assert done.code == 0
    assert done.record["file"] == str(tmp_path / "ctx.threshold.json")
    assert (done.record["pairs"], done.record["references"], done.record["place"]) == (200, 1, 1)
    expected = 199 * 8 / 255 / (24 * 32)
    assert done.record["threshold"] == pytest.approx(expected * (1 + MARGIN), rel=1e-5)
    last, beyond = tmp_path / "199.png", tmp_path / "beyond.png"
    beyond.write_bytes(encode(".png", np.zeros((24, 32, 3), np.uint8)))
    for image, code in ((last, 0), (beyond, 3)):
        outcome = cli("compare", tmp_path / "a.png", image, "--context", ctx, "--threshold", "auto")
        assert outcome.code == code
    assert cli("calibrate", pairs, "--context", ctx).code == 1
    assert cli("calibrate", pairs, "--context", ctx, "--force").code == 0


def test_calibrate_the_metric_of_the_package(cli, tmp_path, pairs):
    what = ("--ranking", "color,blur")
    assert "-o FILE" in cli("calibrate", pairs, *what).error_line
    path = tmp_path / "bars.json"
    done = cli("calibrate", pairs, *what, "-o", path)
    assert done.code == 0
    assert done.out.startswith("threshold ")
    assert "1 different reference" in done.out
    images = (tmp_path / "a.png", tmp_path / "150.png")
    assert cli("compare", *images, *what, "--threshold", path).code == 0
    folder = cli("folder", tmp_path, tmp_path, *what, "--threshold", path)
    assert folder.code == 0
    other = cli("compare", *images, "--ranking", "blur,color", "--threshold", path)
    assert "another context" in other.error_line


def test_a_pair_that_cannot_be_measured_is_no_basis(cli, tmp_path, pairs, context_path):
    (tmp_path / "7.png").write_bytes(b"")
    outcome = cli("calibrate", pairs, "--context", context_path, "-o", tmp_path / "t.json")
    assert outcome.code == 1
    assert "1 of 200 pairs cannot be measured" in outcome.error_line
    assert not (tmp_path / "t.json").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--false-alarms", "0.001"], "too few"),
        (["--false-alarms", "2"], "between 0 and 1"),
        (["-o", "threshold.txt"], ".json"),
        (["--ranking", "color,blur"], "frozen"),
        (["--context", "other.onnx"], "one context"),
    ],
)
def test_mistakes_are_one_line(cli, tmp_path, pairs, context_path, arguments, word):
    if word == "one context":
        arguments = ["--context", context_path]
    if word != ".json":
        arguments = ["-o", tmp_path / "t.json", *arguments]
    outcome = cli("calibrate", pairs, "--context", context_path, *arguments)
    assert outcome.code in (1, 2)
    assert word in outcome.error_line
    assert not (tmp_path / "t.json").exists()


def test_a_threshold_is_a_number_auto_or_a_file(cli, pairs, tmp_path, context_path):
    images = (tmp_path / "a.png", tmp_path / "0.png")
    outcome = cli("compare", *images, "--context", context_path, "--threshold", "much")
    assert outcome.code == 2
    assert "auto" in outcome.err
