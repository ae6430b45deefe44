"""The first minute: the demo, its page, and `python -m`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
from infer_helpers import python

from dps_infer import slider_page
from dps_infer.demo.page import Reading, View, build_page, turns_round
from dps_infer.demo.pictures import draw_pictures
from dps_infer.model import embedded
from dps_infer.report.rows import load_results


@pytest.mark.skipif(not embedded.UNIVERSAL.is_file(), reason="the package has no universal file")
def test_the_demo(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("DPS_CONTEXTS", str(tmp_path / "contexts"))
    folder = tmp_path / "demo"
    outcome = cli("demo", "-o", folder)
    assert outcome.code == 0
    assert "The answer turns round with the context." in outcome.out
    assert "print-inspection: the recolored picture is the larger change" in outcome.out
    assert "map-rendering: the shifted picture is the larger change" in outcome.out
    for name in ("demo.html", "report.html"):
        assert str(folder / name) in outcome.out
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == {
        "reference",
        "shifted",
        "recolored",
        *(f"{c}-{p}" for c in ("print-inspection", "map-rendering") for p in SHOWN),
    }
    results = load_results(folder / "results.csv")
    assert [context.label for context in results.contexts] == ["print-inspection", "map-rendering"]
    page = (folder / "demo.html").read_text("utf-8")
    assert page.count("<img") == 7
    assert "{{" not in page
    # Nothing is loaded.
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "exists already" in cli("demo", "-o", folder).error_line
    assert cli("demo", "-o", folder, "--force", "--quiet").err == ""


SHOWN = ("shifted", "recolored")


def view(title: str, *distances: float) -> View:
    image = draw_pictures()["reference"]
    readings = [Reading(name, d, f"{d}", image) for name, d in zip("ab", distances, strict=True)]
    return View(title, "why <b>", tuple(readings))


def test_a_page_says_whether_the_answer_turns_round():
    pictures = {"a": draw_pictures()["reference"]}
    one, two = view("one", 1.0, 0.5), view("two", 0.0, 0.5)
    assert turns_round([one, two])
    assert not turns_round([one, one])
    assert one.verdict() == "the a picture is the larger change, 2.0 times as far as the other"
    assert two.verdict() == "the b picture is the larger change"
    turned = build_page("T&T", pictures, [one, two], captions={"a": ""}).decode()
    same = build_page("T&T", pictures, [one, one], captions={"a": ""}).decode()
    assert "The answer turns round." in turned
    assert "Both give the same answer." in same
    assert "<title>T&amp;T</title>" in turned
    assert "why &lt;b&gt;" in turned


@pytest.mark.parametrize("package", ["dps_infer", "dps_train", "dps_export"])
def test_packages_run_as_programs(package):
    done = python("-m", package, "-h")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {package.replace('_', '-')} ")


PAGE = """
import signal
import sys
from pathlib import Path
from dps_infer import slider_page
slider_page.CLIENT = Path(sys.argv.pop())
# Where the tests run in the background of a shell, Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from dps_infer.cli import main
main()
"""


@pytest.fixture
def client(tmp_path):
    """The folder of the client, with a page that was built."""
    (tmp_path / "page-dist").mkdir()
    (tmp_path / "package.json").write_text("{}")
    for name in slider_page.FILES:
        (tmp_path / "page-dist" / name).write_text(json.dumps(name))
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_the_page_is_served_to_this_computer_until_it_is_interrupted(client):
    command = subprocess.Popen(
        [sys.executable, "-c", PAGE, "demo", "--page", client],
        # A program that opens nothing.
        env={**os.environ, "BROWSER": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = command.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    assert urlopen(address, timeout=60).read() == b'"index.html"'
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (130, "")
    assert "Ctrl-C" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("package.json", "the page with sliders is not in this installation: in a checkout"),
        ("page-dist/index.html", "index.html is missing): build it in the checkout with `npm"),
    ],
)
def test_a_page_that_is_not_built_is_refused_in_one_line(
    cli, client, monkeypatch, missing, message
):
    (client / missing).unlink()
    monkeypatch.setattr(slider_page, "CLIENT", client)
    outcome = cli("demo", "--page")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.error_line
