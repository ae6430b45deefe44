"""The page of a study, and its command line."""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from study_helpers import tiny_study, with_few_draws

from dps_train.study import run_job, run_study
from dps_train.study.report import render, write_report

MARKS = {"composition": 0.9, "stability": 0.001, "monotonicity.blur": 0.99, "retention.jpeg": 0.8}
NASTY = "<script>alert('x')</script> & \"{{ 7 * 6 }}\""


def values(variant: str, number: int, **others: object) -> dict:
    score = 0.6 + 0.01 * number
    return {
        "metric": f"1-embedded-own-{variant}-{number}",
        "data": "birds",
        "test_data": "bees",
        "backbone": "embedded",
        "comparison": "spatial",
        "variant": variant,
        "error": "",
        "score": score,
        "baseline": 0.62,
        "ceiling": 0.99,
        "improved": score > 0.62,
        **MARKS,
        **others,
    }


class Page(HTMLParser):
    """Collects the text, the tags, and the targets of the attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.targets = "", [], []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.targets += [value for name, value in attributes if name in ("src", "href")]


@pytest.fixture
def study(images_folder):
    return tiny_study(images_folder)


def test_the_page_loads_nothing_and_its_charts_are_pictures(study):
    rows = [values(variant, number) for variant in ("baseline", "lin") for number in range(5)]
    page = Page(render(study, rows))
    assert "script" not in page.tags
    assert page.tags.count("img") == 3
    assert all(target.startswith("data:") for target in page.targets)
    charts = [target.partition("base64,")[2] for target in page.targets if "svg" in target]
    assert [ET.fromstring(base64.b64decode(chart)).tag[-3:] for chart in charts] == ["svg"] * 3
    assert "improved: 2 of 5" in page.text
    assert "40 %" in page.text
    assert render(study, rows) == render(study, rows)


def test_people_are_shown_where_they_were_asked(study):
    people = {"bapps.2afc": 0.7, "bapps.baseline.2afc": 0.71, "bapps.jnd": None}
    with_them = Page(render(study, [values("lin", 1, **people)]))
    assert "Agreement with people" in with_them.text
    assert "people: 2AFC" in with_them.text
    assert "Agreement with people" not in Page(render(study, [values("lin", 1)])).text


def test_foreign_text_is_escaped_and_failures_are_told(study, tmp_path):
    failed = {**values("tune", 2), "error": NASTY}
    for name in ("score", "baseline", "ceiling", "improved", *MARKS):
        del failed[name]
    rows = [{**values("lin", 1), "data": NASTY, "backbone": NASTY}, {**failed, "data": NASTY}]
    page = Page(write_report(tmp_path, study, rows).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.text.count(NASTY) >= 3
    assert "Could not be trained" in page.text


def test_a_study_of_nothing_but_failures_has_a_page(study):
    failed = {name: value for name, value in values("tune", 2).items() if isinstance(value, str)}
    assert "Could not be trained" in render(study, [{**failed, "error": "no"}])


def test_the_command_writes_all_and_sums_up(cli, images_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(run_job, "draw_lin_bank", with_few_draws(run_job))
    out = tmp_path / "study"
    command = ("study", "--rankings", "1", "--variants", "baseline,lin", "--size", "32")
    options = ("--data", images_folder, "--epochs", "1", "--device", "cpu", "--out", out)
    done = cli(*command, *options, "--json")
    assert done.code == 0, done.err
    baseline, lin = json.loads(done.out)
    assert (baseline["variant"], lin["variant"], lin["metrics"]) == ("baseline", "lin", 1)
    assert f"look at {out / 'report.html'}" in done.err
    names = sorted(path.name for path in out.iterdir())
    assert names == ["metrics", "report.html", "study.json", "table.csv", "table.parquet"]
    again = cli(*command, *options)
    assert again.code == 0
    assert f"{lin['score']:.4f}" in again.out
    other = cli(*command, *options, "--seed", "3")
    assert other.code == 1
    assert "seed is 0 there and 3 here" in other.error_line


def test_interrupting_says_how_to_go_on(cli, images_folder, tmp_path, monkeypatch):
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_study, "_run", interrupt)
    options = ("--data", images_folder, "--device", "cpu", "--out", tmp_path / "study")
    stopped = cli("study", *options)
    assert stopped.code == 130
    assert "the same command continues" in stopped.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--variants", "lin,best"), "--variants names 'best'"),
        (("--comparisons", "spatial,colour"), "--comparison names 'colour'"),
        (("--backbones", "embedded,"), "--backbones names ''"),
        (("--backbones", "nonet"), "nonet"),
        (("--rankings", "721"), "--rankings is '721'"),
        (("--rankings", "own"), "--rankings is 'own'"),
        (("--size", "7"), "--size is '7'"),
        (("--logger", "csv"), "--logger is for --variants tune and scratch"),
        (("--data", "no/such"), "no/such is not a folder"),
        (("--bapps", "no/such"), "no/such is not a folder"),
        (("--weights", "a.safetensors", "--weights", "b.safetensors"), "twice"),
        (("--backbones", "alexnet,vgg11", "--weights", "a.safetensors"), "NETWORK=FILE"),
        (("--backbones", "alexnet,vgg11", "--weights", "vgg16=a.safetensors"), "NETWORK=FILE"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(options, words, cli, images_folder, tmp_path):
    out = tmp_path / "study"
    outcome = cli("study", "--data", images_folder, *options, "--out", out)
    assert outcome.code == 2
    assert words in outcome.error_line
    assert not out.exists()


def test_missing_packages_are_named_first(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("dps_train.commands.study.NEEDED", ("json", "no_such_package"))
    outcome = cli("study", "--out", tmp_path / "study")
    assert outcome.code == 1
    assert "needs no_such_package" in outcome.error_line


def test_weights_may_be_named_by_network():
    from dps_train.commands.study import _weights

    files = _weights(["alexnet=a.st", "vgg11=b=c.st"], ("alexnet", "vgg11", "embedded"))
    assert {name: str(path) for name, path in files.items()} == {
        "alexnet": "a.st",
        "vgg11": "b=c.st",
    }
    assert str(_weights(["x=y.st"], ("alexnet",))["alexnet"]) == "x=y.st"
