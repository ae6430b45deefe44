"""The first minute: the demo, its page, and `python -m`."""

from __future__ import annotations

import re

import pytest
from infer_helpers import python

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
