"""`dps-train evaluate --scores` and `dps-train --scores`, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
import scipy.stats
from scores_helpers import write_scores
from train_helpers import TINY, strict_json
from triplet_helpers import write_bapps

from dps_infer.contexts.ranking import SIZE
from dps_train.agreement.report import AgreementReport
from dps_train.agreement.scores.read import read_scores
from dps_train.data.sources import read_pixels
from dps_train.evaluate.pair_target import load_pair_target
from dps_train.evaluate.target import EMBEDDED
from dps_train.fit.run_folder import load_run

SCHEMA = Path(__file__).parents[3] / "docs" / "json" / "agreement.schema.json"


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> Path:
    return write_scores(tmp_path_factory.mktemp("scores") / "ours")


@pytest.fixture(scope="module")
def worse(tmp_path_factory) -> Path:
    return write_scores(tmp_path_factory.mktemp("scores") / "theirs", higher=False)


def test_the_embedded_metric_is_measured_in_the_general_context(cli, scores, tmp_path):
    report = tmp_path / "report.json"
    outcome = cli("evaluate", "embedded", "--scores", scores, "--peers", "psnr", "--json", report)
    assert outcome.code == 0, outcome.err
    for part in ("ours: 24 pairs of 3 references, higher is better", "additive (general)", "psnr"):
        assert part in outcome.out
    assert "3 references are few" in outcome.out
    found = strict_json(report.read_text())
    assert (found["target"], found["seed"]) == ("embedded", 0)
    (figures,) = found["sets"]
    assert list(figures["metrics"]) == ["additive (general)", "psnr"]
    pairs = read_scores(scores)
    target = load_pair_target(EMBEDDED, threads=1)
    general = [{SIZE: 1.0}]
    distances = [
        target.measure(read_pixels(first), [read_pixels(second)], general)[0].distances[0]
        for first, second in zip(pairs.references, pairs.candidates, strict=True)
    ]
    expected = -scipy.stats.spearmanr(distances, pairs.scores)[0]
    own = figures["metrics"]["additive (general)"]
    assert own["overall"]["spearman"]["value"] == pytest.approx(expected)
    assert list(own["kinds"]) == ["dark", "noise"]
    # Noise and darkness grow by steps that any metric sees.
    assert own["within"]["kendall"]["value"] > 0.5
    interval = own["overall"]["spearman"]
    assert interval["low"] <= interval["high"]


def test_sets_of_both_directions_are_measured_in_one_run(cli, scores, worse, tmp_path):
    report = tmp_path / "report.json"
    options = ("--peers", "psnr", "--heads", "uniform", "--json", report)
    outcome = cli(
        "evaluate", "embedded", *options,
        "--scores", scores.parent, "--higher", "better", "--scores", worse, "--higher", "worse",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    ours, theirs = strict_json(report.read_text())["sets"]
    assert [ours["higher_is_better"], theirs["higher_is_better"]] == [True, False]
    for figures in (ours, theirs):
        assert list(figures["metrics"]) == ["uniform", "psnr"]
        assert figures["metrics"]["psnr"]["within"]["spearman"]["value"] > 0.5


def test_a_direction_that_every_metric_contradicts_is_noted(cli, worse):
    outcome = cli("evaluate", "embedded", "--scores", worse)
    assert outcome.code == 0
    assert "note: every metric contradicts" in outcome.err
    assert "--higher" in outcome.err


def test_adapting_is_measured_beside_the_unadapted_metric(cli, scores, tmp_path, images_folder):
    report = tmp_path / "report.json"
    bapps = write_bapps(tmp_path / "bapps")
    outcome = cli(
        "evaluate", "embedded", "--scores", scores, "--rankings", "3", "--seed", "2",
        "--heads", "uniform,lin,additive", "--train-data", images_folder, "--bapps", bapps,
        "--json", report,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "adapted to 3 random rankings" in outcome.out
    found = strict_json(report.read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(found)
    (figures,) = found["sets"]
    assert list(figures["metrics"]) == ["uniform", "additive (general)"]
    assert list(figures["costs"]) == ["additive", "lin"]
    unadapted = figures["metrics"]["uniform"]["overall"]["spearman"]["value"]
    rankings = [list(cost["overall"]["each"]) for cost in figures["costs"].values()]
    assert rankings[0] == rankings[1]
    assert len(rankings[0]) == 3
    for cost in figures["costs"].values():
        overall = cost["overall"]
        values = list(overall["each"].values())
        assert overall["unadapted"] == pytest.approx(unadapted)
        assert overall["mean"] == pytest.approx(np.mean(values))
        assert (overall["lowest"], overall["highest"]) == (min(values), max(values))
        difference = overall["difference"]
        assert difference["value"] == pytest.approx(np.mean(values) - unadapted)
        assert difference["low"] <= difference["high"]
    assert list(found["bapps"]["metrics"]) == ["uniform", "additive (general)"]
    for cost in found["bapps"]["costs"].values():
        assert list(cost["two_afc"]["each"]) == rankings[0]
        assert 0 <= cost["jnd"]["mean"] <= 1


def test_the_schema_is_that_of_the_report():
    expected = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dps-train evaluate --scores --json",
        **msgspec.json.schema(AgreementReport),
    }
    found = json.loads(SCHEMA.read_text("utf-8"))
    assert found == expected, "write docs/json/agreement.schema.json again"


def test_a_run_is_measured_in_its_own_context(cli, scores, run_folder, tmp_path):
    report = tmp_path / "report.json"
    options = ("--scores", scores, "--heads", "uniform,additive", "--json", report)
    outcome = cli("evaluate", run_folder, *options)
    assert outcome.code == 0, outcome.err
    found = strict_json(report.read_text())
    assert list(found["sets"][0]["metrics"]) == ["uniform", "additive (own)"]


def test_the_same_seed_gives_the_same_report(cli, scores, tmp_path):
    reports = [tmp_path / f"{number}.json" for number in range(3)]
    for report, seed in zip(reports, (0, 0, 1), strict=True):
        options = ("--rankings", "3", "--seed", seed, "--json", report)
        assert cli("evaluate", "embedded", "--scores", scores, *options).code == 0
    first, again, other = (json.loads(report.read_text()) for report in reports)
    assert first == again
    rankings = [one["sets"][0]["costs"]["additive"]["overall"]["each"] for one in (first, other)]
    assert set(rankings[0]) != set(rankings[1])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--heads", "lin", "--train-data", "sample"), "give --rankings 20"),
        (("--heads", "lin", "--rankings", "2"), "name its images with --train-data"),
        (("--peers", "best"), "--peers names 'best'"),
        (("--lpips-trunk", "x.safetensors"), "--lpips-trunk is for --peers lpips"),
        (("--ladders",), "--ladders cannot be combined with --scores"),
        (("--higher", "worse", "--higher", "better"), "--higher is given 2 times for 1 CSV file"),
        (("--contexts", "own"), "has no context of its own"),
    ],
)
def test_mistakes_are_told_in_one_line(cli, scores, options, part):
    outcome = cli("evaluate", "embedded", "--scores", scores, *options)
    assert outcome.code == 2
    assert part in outcome.err
    assert outcome.out == ""


def test_options_of_scores_need_scores(cli):
    for option in (("--peers", "psnr"), ("--higher", "worse")):
        outcome = cli("evaluate", "embedded", *option)
        assert outcome.code == 2
        assert "is for --scores" in outcome.err


def test_every_problem_of_the_scores_is_printed(cli, scores, tmp_path):
    broken = tmp_path / "broken.csv"
    broken.write_text("reference,candidate,score\ngone.png,gone.png,high\n")
    outcome = cli("evaluate", "embedded", "--scores", broken)
    assert outcome.code == 1
    assert f"{broken} row 2: score is 'high': expected a number" in outcome.err
    assert f"{broken} row 2: reference: {tmp_path / 'gone.png'}: no such file" in outcome.err


# --- contexts from scores -----------------------------------------------------------------


def test_scores_become_the_context_of_a_run(cli, scores, tmp_path):
    run = tmp_path / "run"
    outcome = cli("--scores", scores, "--out", run)
    assert outcome.code == 0, outcome.err
    for part in ("24 scores of 3 references", "spearman, within references", "importance"):
        assert part in outcome.out
    metric, manifest = load_run(run)
    info = manifest.metric
    # 8 candidates of each of 3 references, two at a time.
    assert (info.judgements.source, info.judgements.triplets) == ("ours", 3 * 28)
    assert info.judgements.sha256 == read_scores(scores).sha256()
    assert info.training_data.images == 3
    assert max(info.importances.values()) == 1
    assert min(info.importances.values()) > 0
    assert metric.head.importances.tolist() == list(info.importances.values())
    agreement = strict_json((run / "metrics.json").read_text())["agreement"]
    assert (agreement["pairs"], agreement["references"]) == (24, 3)
    assert agreement["cross_validated"] is True
    assert set(agreement["intervals"]) == set(info.importances)
    assert "as people judged 84 triplets" in info.context.describe()


def test_scores_are_no_ranking_and_fit_importances_alone(cli, scores, tmp_path):
    outcome = cli("--scores", scores, "--ranking", "color,blur")
    assert outcome.code == 2
    assert "are six ways to give a context" in outcome.err
    outcome = cli("--scores", scores, "--variant", "lin", *TINY)
    assert outcome.code == 2
    assert "--scores fits importances: leave --variant lin out" in outcome.err
    outcome = cli("--scores", scores, "--from", "scratch", "--out", tmp_path / "run")
    assert outcome.code == 2
