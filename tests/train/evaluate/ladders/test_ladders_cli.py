"""`dps-train evaluate --ladders`, from photographs to the table, the JSON and the page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from ladder_helpers import photograph, write_photographs
from train_helpers import strict_json

from dps_train.evaluate.ladders.measuring import climb, kinds_here
from dps_train.evaluate.ladders.page import render
from dps_train.evaluate.ladders.records import LadderReport
from dps_train.evaluate.pair_contexts import pair_contexts
from dps_train.evaluate.pair_target import load_pair_target
from dps_train.evaluate.target import EMBEDDED

SCHEMA = Path(__file__).parents[4] / "docs" / "json" / "ladders.schema.json"
SHARED = Path(__file__).parents[5] / "shared" / "images" / "bsds500" / "val"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OPTIONS = ("--contexts", "general,2", "--ranking", "color,blur", "--seed", "3")
HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = write_photographs(tmp_path_factory.mktemp("photographs"), 2)
    (folder / "1.png").rename(folder / HOSTILE)
    return folder


@pytest.fixture(scope="module")
def embedded_report(folder, tmp_path_factory) -> dict:
    """The outputs of the command for the embedded metric."""
    out = tmp_path_factory.mktemp("out")
    arguments = [
        "evaluate", "embedded", "--ladders", "--data", folder, *OPTIONS,
        "--json", out / "ladders.json", "--plots", out / "ladders.html",
    ]  # fmt: skip
    command = [sys.executable, "-c", "from dps_train.cli import main; main()"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {
        "out": done.stdout,
        "err": done.stderr,
        "json": strict_json((out / "ladders.json").read_text()),
        "page": out / "ladders.html",
    }


def test_the_json_holds_every_ladder_in_every_context(embedded_report):
    report = embedded_report["json"]
    assert (report["target"], report["seed"]) == ("embedded", 3)
    (size,) = report["sizes"]
    assert size["megapixels"] is None
    assert size["photographs"] == {"0.png": [132, 150], HOSTILE: [150, 132]}
    here, left_out = kinds_here()
    assert report["left_out"] == left_out
    assert list(size["kinds"]) == [kind.name for kind in here]
    assert size["kinds"]["shift"]["named_as"] == "translate"
    assert size["kinds"]["jpeg"]["named_as"] == "compression"
    groups = [context["group"] for context in size["contexts"]]
    assert groups == ["general", "rankings", "rankings", "named"]
    assert size["contexts"][-1]["label"] == "color,blur"
    assert {name: group["contexts"] for name, group in size["groups"].items()} == {
        "general": 1, "rankings": 2, "named": 1,
    }  # fmt: skip
    for context in size["contexts"]:
        assert list(context["ladders"]) == list(size["kinds"])
        for kind in here:
            distances = np.array(context["ladders"][kind.name]["distances"])
            assert distances.shape == (2, len(kind.steps))
            assert (distances >= 0).all()
        assert list(context["gross"]) == ["mirror", "upside down", "another picture"]


def test_the_table_has_a_row_for_each_ladder(embedded_report):
    lines = embedded_report["out"].splitlines()
    assert lines[0] == "embedded: 2 photographs at their own size"
    heading = next(line for line in lines if "2 rankings" in line and "1 named" in line)
    assert "general" in heading
    for kind in embedded_report["json"]["sizes"][0]["kinds"]:
        assert sum(line.strip().startswith(f"{kind} ") for line in lines) == 1
    group = embedded_report["json"]["sizes"][0]["groups"]["general"]
    (jpeg,) = (line for line in lines if line.strip().startswith("jpeg "))
    assert f"{group['ladders']['jpeg']['order']:.3f}" in jpeg.split()
    assert any(line.strip().startswith("another picture") for line in lines)


def test_the_schema_is_that_of_the_report(embedded_report):
    jsonschema = pytest.importorskip("jsonschema")
    expected = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dps-train evaluate --ladders --json",
        **msgspec.json.schema(LadderReport),
    }
    found = json.loads(SCHEMA.read_text("utf-8"))
    assert found == expected, "write docs/json/ladders.schema.json again"
    validator = jsonschema.Draft202012Validator(found)
    report = embedded_report["json"]
    validator.validate(report)
    for key in report:
        assert not validator.is_valid({name: part for name, part in report.items() if name != key})


def test_equal_seeds_give_equal_numbers(cli, folder, embedded_report, tmp_path):
    path = tmp_path / "again.json"
    outcome = cli("evaluate", "embedded", "--ladders", "--data", folder, *OPTIONS, "--json", path)
    assert outcome.code == 0, outcome.err
    assert strict_json(path.read_text()) == embedded_report["json"]
    assert "exists already" in cli("evaluate", "--ladders", "--json", path).error_line


def test_the_page_needs_nothing_else(embedded_report):
    page = embedded_report["page"].read_text("utf-8")
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    assert page.count("<details") == 4
    kinds = len(embedded_report["json"]["sizes"][0]["kinds"])
    assert page.count('class="curve"') == 4 * kinds * 2
    assert "http:" not in page.replace("http://www.w3.org", "")
    report = msgspec.convert(embedded_report["json"], LadderReport)
    assert render(report) == page


def test_the_page_in_a_browser(embedded_report):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if BROWSER is None:
        pytest.skip("needs chromium or google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 700})
        happened: list[str] = []
        page.on("console", lambda message: happened.append(message.text))
        page.on("pageerror", lambda error: happened.append(str(error)))
        page.on("dialog", lambda dialog: happened.append(dialog.message))
        page.on("request", lambda request: happened.append(request.url))
        page.goto(embedded_report["page"].as_uri())
        assert [x for x in happened if not x.startswith("data:")] == [page.url]
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        curve = page.locator("details[open] .curve").first
        box = curve.bounding_box()
        assert box["width"] > 100
        strokes = (
            page.locator("details[open] figure")
            .first.locator(".curve")
            .evaluate_all("curves => curves.map(curve => getComputedStyle(curve).stroke)")
        )
        assert len(set(strokes)) == 2
        assert page.locator("details[open]").count() == 1
        page.locator("summary").nth(1).click()
        assert page.locator("details[open]").count() == 2
        browser.close()


def test_a_run_is_measured_in_its_own_context_at_several_sizes(cli, run_folder, folder, tmp_path):
    path = tmp_path / "ladders.json"
    outcome = cli(
        "evaluate", run_folder, "--ladders", "--data", folder, "--megapixels", "own,0.03",
        "--json", path,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    report = strict_json(path.read_text())
    assert [size["megapixels"] for size in report["sizes"]] == [None, 0.03]
    for size in report["sizes"]:
        (context,) = size["contexts"]
        assert context["group"] == "own"
        assert context["importances"]["rotate"] == 1
    assert "2 photographs at 0.03 megapixels" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ladders", "--rankings", "20"), "write the number into --contexts"),
        (("--ladders", "--heads", "uniform"), "--heads cannot be combined with --ladders"),
        (("--contexts", "general"), "--contexts is for --ladders"),
        (("--plots", "page.html"), "--plots is for --ladders"),
        (("--ladders", "--megapixels", "own,99"), "numbers up to 50"),
        (("--ladders", "--megapixels", "nan"), "numbers up to 50"),
        (("--ladders", "--contexts", "general,own"), "no context of its own"),
    ],
)
def test_options_that_do_not_go_together(cli, folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = cli("evaluate", "embedded", "--data", folder, *arguments)
    assert message in outcome.error_line
    assert outcome.code == 2
    assert not list(tmp_path.iterdir())


# --- figures of the shipped metric ----------------------------------------------------


def test_figures_do_not_depend_on_the_number_of_threads(monkeypatch):
    some = [kind for kind in kinds_here()[0] if kind.name in ("jpeg", "noise", "rotate")]
    photographs = [photograph(140, 150)]
    found = []
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        target = load_pair_target(EMBEDDED, threads=threads)
        climbed, far = climb(target, pair_contexts(target, "general,3"), photographs, some)
        found.append([one.distances for one in climbed] + [one.whole for one in far])
    cv2.setNumThreads(-1)
    for one, other in zip(*found, strict=True):
        # A kind that is partly there enlarges the rounding of its probability tenfold.
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
