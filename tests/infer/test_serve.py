"""The server: one answer per line, valid or not, and a process that keeps running."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import encode

from dps_infer import Metric
from dps_infer.model import embedded
from dps_infer.serve import Server, serve

SERVE_DOC = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.fixture(scope="module")
def server(context, universal) -> Server:
    return Server({"plain": context, "universal": universal})


@pytest.fixture
def images(tmp_path, photo) -> dict[str, str]:
    """A photo, one with green changed by a quarter of its range, and one of another size."""
    other = photo.copy()
    other[:, :, 1] = np.where(photo[:, :, 1] < 128, photo[:, :, 1] + 64, photo[:, :, 1] - 64)
    paths = {}
    for name, pixels in (("a", photo), ("b", other), ("small", photo[:12].copy())):
        path = tmp_path / f"{name}.png"
        path.write_bytes(encode(".png", pixels))
        paths[name] = str(path)
    return paths


def talk(server: Server, *requests: object, **options: int) -> list[dict]:
    """Send lines (bytes) or requests (anything else); return the answers after the ready line."""
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests]
    answers = io.BytesIO()
    serve(server, io.BytesIO(b"\n".join(lines)), answers, **options)
    ready, *rest = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert ready["ready"] is True
    return rest


def compare(images: dict[str, str], **changes: object) -> dict:
    request = {"requestId": 1, "method": "compare", "context": "plain"}
    request |= {"reference": images["a"], "candidate": images["b"], **changes}
    return {name: value for name, value in request.items() if value is not None}


def test_answers_in_order_with_their_ids(server, images):
    answers = talk(
        server,
        {"method": "ping", "requestId": "first"},
        compare(images, requestId=2),
        {"method": "info"},
        {"method": "shutdown", "requestId": 4},
        {"method": "ping", "requestId": 5},
    )
    assert [answer["requestId"] for answer in answers] == ["first", 2, None, 4]
    assert all(answer["ok"] for answer in answers)
    assert set(answers[2]["result"]["contexts"]) == {"plain", "universal"}


def test_the_result_is_that_of_the_library(server, context, images):
    expected = context.compare(images["a"], images["b"])
    data = {
        name: {"base64": base64.b64encode(Path(images[name]).read_bytes()).decode()}
        for name in ("a", "b")
    }
    by_path, by_data = talk(
        server,
        compare(images, threshold=0.1),
        compare(images, reference=data["a"], candidate=data["b"]),
    )
    assert by_path["result"]["distance"] == expected.distance == by_data["result"]["distance"]
    assert by_path["result"]["parts"] == expected.parts
    for name in ("size", "amounts", "strengths", "directions", "percentiles"):
        assert by_path["result"][name] == getattr(expected, name), name
    assert list(by_path["result"]["anchors"]) == ["JPEG quality"]
    assert (by_path["result"]["above"], by_data["result"]["above"]) == (True, None)


@pytest.mark.parametrize(
    "wish",
    [
        {"ranking": "blur,color"},
        {"ranking": "blur,*,color=other"},
        {"importances": {"size": 1}},
        {"importances": "color=0.5,blur=0.25"},
        {"importances": {"color": 0.5, "blur": 0.25}},
    ],
)
def test_a_request_may_say_what_matters(server, universal, images, wish):
    (answer,) = talk(server, compare(images, context=None, **wish))
    expected = (
        universal.in_context(ranking=wish["ranking"])
        if "ranking" in wish
        else universal.in_context(importances=wish["importances"])
    )
    assert answer["result"]["distance"] == expected.compare(images["a"], images["b"]).distance


def test_sizes(server, images):
    refused, resized = talk(
        server,
        compare(images, candidate=images["small"]),
        compare(images, candidate=images["small"], resize=True),
    )
    assert refused["error"]["kind"] == "image"
    assert resized["ok"]


def test_one_context_need_not_be_named(context, images):
    (answer,) = talk(Server({"plain": context}), compare(images, context=None))
    assert answer["ok"]


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (b"{", "request", "JSON"),
        (b"\xff\xfe", "request", "JSON"),
        (b"[" * 100_000, "request", "JSON"),
        (b"[]", "request", "JSON object"),
        (b'{"requestId": {}}', "request", "requestId"),
        (b'{"requestId": true, "method": "ping"}', "request", "requestId"),
        ({"requestId": 7}, "request", "method"),
        ({"requestId": 7, "method": "destroy"}, "request", "destroy"),
        ({"requestId": 7, "method": "ping", "colour": 1}, "request", "colour"),
        ({"requestId": 7, "method": "compare"}, "request", "reference"),
        ({"resize": "yes"}, "request", "resize"),
        ({"threshold": -1}, "request", "threshold"),
        # Of protocol 1.
        ({"view": "whole"}, "request", "view"),
        ({"context": "none"}, "usage", "plain, universal"),
        ({"context": None}, "usage", "plain, universal"),
        ({"ranking": "color,blur"}, "usage", "exclude"),
        ({"context": None, "ranking": "colour"}, "usage", "colour"),
        ({"context": None, "importances": {"blur": -1}}, "usage", "blur"),
        ({"candidate": "none.png"}, "image", "none.png: no such file"),
        ({"candidate": "a\0b"}, "image", "cannot be read"),
        ({"candidate": {"base64": "?"}}, "image", "base64"),
        ({"candidate": {"base64": "aGVsbG8="}}, "image", "candidate"),
        ({"context": None, "ranking": "*"}, "usage", "at least two"),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_too(server, images, line, kind, words):
    if isinstance(line, dict) and "requestId" not in line:
        line = compare(images, requestId=7, **line)
    bad, good = talk(server, line, {"method": "ping", "requestId": 8})
    assert (bad["ok"], bad["error"]["kind"]) == (False, kind)
    assert words in bad["error"]["message"]
    assert "\n" not in bad["error"]["message"]
    assert bad["requestId"] == (7 if isinstance(line, dict) else None)
    assert good == {"requestId": 8, "ok": True, "result": {}}


def test_a_long_line_is_dropped(server):
    limit = 100
    fits = json.dumps({"method": "ping", "requestId": "x" * 60}).encode().ljust(limit)
    answers = talk(server, fits, fits + b" ", b"x" * 1000, fits, max_line=limit)
    assert [answer["ok"] for answer in answers] == [True, False, False, True]
    assert "longer than 100 bytes" in answers[1]["error"]["message"]


def test_a_defect_is_an_answer_too(context, images, monkeypatch):
    def break_down(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("at a loss")

    monkeypatch.setattr(Metric, "compare_pairs", break_down)
    (answer,) = talk(Server({"plain": context}), compare(images))
    assert answer["error"] == {
        "kind": "broken",
        "message": "unexpected ZeroDivisionError: at a loss",
    }


@given(st.binary(max_size=60).filter(lambda line: b"\n" not in line and line.strip()))
def test_any_line_gets_one_answer(server, line):
    assert len(talk(server, line)) == 1


# --- the process ------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path) -> dict[str, str]:
    """An environment in which `dps-infer` is this code."""
    script = tmp_path / "bin" / "dps-infer"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dps_infer.cli "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_process_keeps_stdout_for_answers(images, context_path, command):
    requests = [compare(images, context="fake"), {"method": "shutdown"}]
    done = subprocess.run(
        ["dps-infer", "serve", "--stdio", "--context", context_path],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        timeout=60,
        env=command,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ready, answer, _ = map(json.loads, done.stdout.splitlines())
    assert list(ready["contexts"]) == ["fake"]
    assert answer["result"]["distance"] == pytest.approx(64 / 255, rel=1e-6)


def example(language: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", SERVE_DOC.read_text("utf-8"), re.DOTALL)
    return code


@pytest.mark.parametrize(("language", "program"), [("python", sys.executable), ("js", "node")])
def test_the_examples_of_the_docs_run(tmp_path, images, photo, command, language, program):
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    (tmp_path / "c.png").write_bytes(encode(".png", photo))
    flag = "-c" if language == "python" else "-e"
    done = subprocess.run(
        [program, flag, example(language)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=command,
    )
    assert (done.returncode, done.stderr) == (0, "")
    distances = [float(line) for line in done.stdout.splitlines()[-2:]]
    universal = Metric.load(embedded.UNIVERSAL, ranking="color,blur", device="cpu")
    expected = universal.compare(images["a"], images["b"]).distance
    assert distances == [pytest.approx(expected, rel=1e-4), 0]


def test_stdio_has_to_be_asked_for(cli):
    assert "--stdio" in cli("serve").error_line
