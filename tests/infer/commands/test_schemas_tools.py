"""The JSON of the other commands matches the schemas in the docs."""

from __future__ import annotations

import base64
import copy
import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.serve import Server, serve

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS = Path(__file__).parents[3] / "docs" / "json"
NAMES = ["doctor", "serve", "calibrate", "video"]


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


def check(name: str, value: object, part: str | None = None) -> None:
    """Hold a value against a schema, or a definition in it."""
    whole = schema(name)
    if part is not None:
        whole = {"$schema": whole["$schema"], "$ref": f"#/$defs/{part}", "$defs": whole["$defs"]}
    jsonschema.validate(value, whole, cls=jsonschema.Draft202012Validator)


def check_strictly(name: str, value: dict) -> None:
    """Hold a value against a schema, which must miss each field that is taken away, and notice
    one that is added."""
    check(name, value)
    for field in value:
        less = copy.deepcopy(value)
        del less[field]
        if name == "calibrate" and field == "file":
            check(name, less)
            continue
        with pytest.raises(jsonschema.ValidationError):
            check(name, less)
    with pytest.raises(jsonschema.ValidationError):
        check(name, {**value, "surplus": 1})


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_sound(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_doctor(cli, monkeypatch):
    check_strictly("doctor", cli("doctor", "--json").record)
    monkeypatch.setattr("dps_infer.doctor.embedded.UNIVERSAL", Path("none.onnx"))
    broken = cli("doctor", "--json")
    assert broken.code == 1
    assert broken.record["problems"]
    check_strictly("doctor", broken.record)


def test_calibrate(cli, tmp_path, photo, context_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode(".png", photo))
    pairs = tmp_path / "pairs.csv"
    with pairs.open("w", newline="") as stream:
        rows = [["reference", "candidate"], *[["a.png", "b.png"]] * 20]
        csv.writer(stream).writerows(rows)
    path = tmp_path / "t.json"
    what = ("--context", context_path, "-o", path, "--false-alarms", "0.1", "--json")
    record = cli("calibrate", pairs, *what).record
    check_strictly("calibrate", record)
    check("calibrate", json.loads(path.read_text()))


@pytest.mark.parametrize("worst", [0, 2])
def test_video(cli, tmp_path, context_path, worst):
    for name, level in (("a", 50), ("b", 90)):
        codec = cv2.VideoWriter_fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(tmp_path / f"{name}.avi"), codec, 10, (32, 24))
        for _ in range(3):
            writer.write(np.full((24, 32, 3), level, np.uint8))
        writer.release()
    what = ("--context", context_path, "--no-plot", "--json", "--worst", worst)
    if worst:
        what += ("--threshold", "0.001")
    outcome = cli("video", tmp_path / "a.avi", tmp_path / "b.avi", "-o", tmp_path / "out", *what)
    assert len(outcome.record["worst"]) == worst
    check_strictly("video", outcome.record)


def test_serve(tmp_path, photo, context, universal):
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png", photo))
    encoded = {"base64": base64.b64encode(path.read_bytes()).decode()}
    both = {"method": "compare", "reference": str(path), "candidate": encoded}
    requests = [
        {**both, "requestId": 1, "context": "plain", "threshold": 0.5},
        {**both, "ranking": "color,*,blur"},
        {**both, "importances": {"blur": 1}, "resize": True},
        {"method": "ping", "requestId": "x"},
        {"method": "info"},
    ]
    bad = [{"method": "nothing"}, {**both, "surplus": 1}, {"method": "compare", "requestId": 3}]
    wrong = [{**both, "requestId": 2, "ranking": "none"}, {**both, "candidate": "none.png"}]
    last = {"method": "shutdown", "requestId": None}
    sent = [*requests, *bad, *wrong, last]
    answers = io.BytesIO()
    server = Server({"plain": context, "universal": universal})
    serve(server, io.BytesIO(b"\n".join(json.dumps(r).encode() for r in sent)), answers)
    ready, *rest = [json.loads(line) for line in answers.getvalue().splitlines()]
    check("serve", ready)
    check("serve", ready, "ready")
    assert [answer["ok"] for answer in rest] == [True] * 5 + [False] * 5 + [True]
    for request, answer in zip(sent, rest, strict=True):
        check("serve", answer, "answer" if answer["ok"] else "failure")
        if request in bad:
            with pytest.raises(jsonschema.ValidationError):
                check("serve", request, "request")
        else:
            check("serve", request, "request")
    for answer in rest[:3]:
        check("serve", answer["result"], "comparison")
