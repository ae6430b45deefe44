"""`dps-train evaluate`: of runs with any head, the embedded metric, context files, and people."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch
from train_helpers import COUNT, strict_json, write_images
from triplet_helpers import write_bapps, write_csv, write_png

from dps_infer.contexts.ranking import KINDS, OTHER, SIZE
from dps_infer.model.embedded import UNIVERSAL
from dps_infer.model.manifest import JudgementsInfo
from dps_train.commands import evaluate_distorted as command
from dps_train.contexts import AMOUNTS, measured_context, pair_table
from dps_train.data.sources import read_pixels
from dps_train.distortions.paper import NAMES
from dps_train.evaluate.printing import print_heads
from dps_train.fit.from_judgements import train_on_judgements
from dps_train.fit.run_folder import load_run, save_run
from dps_train.fit.training import train
from dps_train.judgements.scoring import two_afc_agreement
from dps_train.measure.evaluation import Measures

FEW = 2
"""The time of an evaluation grows with the number of images."""

MARKS = ("monotonicity", "composition", "stability", "retention")
OWN_PAIRS = {
    "color>translate", "color>zoom", "color>rotate", "translate>rotate", "zoom>rotate",
}  # fmt: skip
"""The pairs that the run of the fixtures was trained to order."""


@pytest.fixture(scope="module")
def judgements(images_folder, tmp_path_factory) -> Path:
    """A CSV file of judgements on images of several sizes, half of them nearly unanimous."""
    folder = tmp_path_factory.mktemp("judged")
    rows = []
    for number, image in enumerate(sorted(images_folder.iterdir())):
        pixels = read_pixels(image)
        flipped = write_png(folder / f"flipped-{number}.png", pixels[::-1].copy())
        darker = write_png(folder / f"darker-{number}.png", pixels // 4 * 3)
        rows += [(image, flipped, darker, 0.9), (image, darker, flipped, 0.1 * (number % 4))]
    return write_csv(folder / "judgements.csv", rows)


@pytest.fixture(scope="module")
def few_images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("few"), FEW)


@pytest.fixture
def scalar_run(tiny_settings, tmp_path) -> Path:
    """A run whose head tells no kinds of change apart."""
    settings = dataclasses.replace(tiny_settings, variant="baseline")
    folder = tmp_path / "runs" / "scalars"
    save_run(folder, train(settings, "scalars"), settings={})
    return folder


def measured(cli, tmp_path: Path, *arguments: object) -> dict:
    """Evaluate, and return the content of the --json file."""
    report = tmp_path / "measures.json"
    outcome = cli("evaluate", *arguments, "--json", report, "--force")
    assert outcome.code == 0, outcome.err
    return strict_json(report.read_text())


# --- runs and the embedded metric -----------------------------------------------------


def test_evaluate_in_the_runs_own_context(cli, run_folder, few_images, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    report = tmp_path / "measures.json"
    arguments = ("evaluate", run_folder, "--data", few_images, "--json", report)
    outcome = cli(*arguments, "--seed", 4)
    assert outcome.code == 0, outcome.err
    assert "unadapted" in outcome.out
    measures = strict_json(report.read_text())
    assert measures["rankings"] == 1
    assert measures["seed"] == 4
    assert measures["images"] == FEW
    assert set(measures["pairs"]) == OWN_PAIRS
    assert "exists already" in cli(*arguments).error_line
    first = report.read_bytes()
    assert cli(*arguments, "--seed", 4, "--force").code == 0
    assert report.read_bytes() == first


def test_evaluate_in_many_contexts_of_the_newest_run(cli, run_folder, few_images, monkeypatch):
    monkeypatch.chdir(run_folder.parents[1])
    outcome = cli("evaluate", "--data", few_images, "--rankings", "all", "--json", "all.json")
    assert outcome.code == 0, outcome.err
    measures = strict_json(Path("all.json").read_text())
    assert measures["rankings"] == 720
    assert len(measures["pairs"]) == 30
    assert measures["score"]["min"] < measures["score"]["mean"] < measures["score"]["max"]
    # Over all rankings, each pair is judged both ways equally often.
    assert measures["baseline"]["mean"] == pytest.approx(0.5, abs=1e-6)


def test_evaluate_the_embedded_metric(cli, few_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    arguments = ("evaluate", "embedded", "--data", few_images)
    outcome = cli(*arguments, "--json", "all.json")
    assert outcome.code == 0, outcome.err
    assert "20 rankings" in outcome.out
    measures = strict_json(Path("all.json").read_text())
    assert measures["rankings"] == 20
    assert measures["images"] == FEW
    assert set(measures["named"]) == set(NAMES)
    assert cli(*arguments, "--rankings", 7, "--json", "few.json").code == 0
    assert strict_json(Path("few.json").read_text())["rankings"] == 7


def test_evaluate_what_is_no_run(cli, run_folder, images_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "runs")
    assert "holds no run" in cli("evaluate", "--data", images_folder).error_line
    assert "no run folder" in cli("evaluate", tmp_path / "none").error_line
    (run_folder / "metrics.json").unlink()
    report = tmp_path / "measures.json"
    outcome = cli("evaluate", run_folder, "--data", images_folder, "--json", report)
    assert "lacks metrics.json" in outcome.error_line
    assert outcome.code == 1
    assert not report.exists()


def test_scalars_are_measured_in_their_own_context(cli, scalar_run, few_images, tmp_path):
    measures = measured(
        cli, tmp_path, scalar_run, "--data", few_images, "--heads", "uniform,baseline"
    )
    assert measures["rankings"] == 1
    assert set(measures["pairs"]) == OWN_PAIRS
    assert list(measures["heads"]) == ["uniform", "baseline"]
    # Nothing is trained: both are the unadapted metric.
    assert measures["score"] == measures["baseline"] == measures["heads"]["uniform"]["score"]
    assert measures["named"] is None
    assert set(measures["monotonicity"]) == set(NAMES)
    assert all(measures[mark] is not None for mark in MARKS)


def test_scalars_know_no_other_rankings(cli, scalar_run, images_folder):
    outcome = cli("evaluate", scalar_run, "--data", images_folder, "--rankings", 3)
    assert "baseline run tells no kinds of change apart" in outcome.error_line
    assert outcome.code == 2
    outcome = cli("evaluate", scalar_run, "--data", images_folder, "--heads", "additive")
    assert "expected some of uniform,lin,baseline" in outcome.error_line
    assert outcome.code == 2


@pytest.mark.parametrize("variant", ["additive", "baseline"])
def test_judged_contexts_have_all_marks_and_no_score(
    cli, tiny_settings, judgements, few_images, tmp_path, variant
):
    settings = dataclasses.replace(
        tiny_settings, context=None, judgements=judgements, variant=variant
    )
    save_run(tmp_path / "run", train_on_judgements(settings, "judged"), settings={})
    measures = measured(cli, tmp_path, tmp_path / "run", "--data", few_images)
    assert all(measures[name] is None for name in ("score", "baseline", "ceiling", "improved"))
    assert measures["pairs"] == {}
    # Importances that judgements left at 0 may make a distance of 0, and stability unknown.
    assert all(measures[mark] is not None for mark in MARKS if mark != "stability")
    if variant == "baseline":
        assert measures["stability"] > 0


@pytest.mark.parametrize("importances", [dict.fromkeys(AMOUNTS, 2.0), {OTHER: 1.0}])
@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("ranking", [[["blur"], ["color", "zoom"]], None])
def test_the_context_that_a_metric_is_measured_in(trained, importances, judged, ranking):
    info = msgspec.structs.replace(
        trained.info,
        ranking=None if judged else ranking,
        importances=importances,
        judgements=JudgementsInfo(source="s", triplets=1, sha256="0") if judged else None,
    )
    context = measured_context(info)
    ordered = pair_table([context])[0].nonzero().tolist()
    blur = NAMES.index("blur")
    expected = (
        [] if judged or ranking is None else [[blur, NAMES.index(n)] for n in ("color", "zoom")]
    )
    assert sorted(ordered) == sorted(expected)
    assert set(context.importances) - {SIZE} == {*KINDS, OTHER}
    if OTHER in importances and len(importances) > 1:
        assert dict(context.importances) == importances


# --- context files --------------------------------------------------------------------


def test_a_universal_file_in_many_contexts(cli, few_images, tmp_path):
    report = tmp_path / "all.json"
    outcome = cli(
        "evaluate", UNIVERSAL, "--data", few_images, "--rankings", "all", "--json", report
    )
    assert outcome.code == 0, outcome.err
    measures = strict_json(report.read_text())
    assert measures["rankings"] == 720
    assert measures["images"] == FEW
    assert set(measures["named"]) == set(NAMES)
    unknown = ("baseline", "baseline_pairs", "improved", "stability")
    assert [name for name, value in measures.items() if value is None] == [
        name for name in measures if name in unknown
    ]
    assert "720 rankings" in outcome.out
    heading = next(line for line in outcome.out.splitlines() if "closer" in line)
    assert heading.split() == ["closer", "farther", "adapted", "noise", "ceiling"]
    (line,) = outcome.notes
    assert "half a gray level" in line


def test_files_that_cannot_be_measured(cli, images_folder, tmp_path, bapps):
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model")
    for arguments, message, code in (
        ((garbage,), str(garbage), 1),
        ((tmp_path / "none.onnx",), "none.onnx", 1),
        ((UNIVERSAL, "--rankings", "own"), "no context of its own", 2),
        ((UNIVERSAL, "--bapps", bapps), "dps-export --ranking", 2),
        ((UNIVERSAL, "--heads", "uniform"), "--heads is for runs", 2),
        (("embedded", "--triplets", bapps), "dps-export --ranking", 2),
    ):
        report = tmp_path / "measures.json"
        outcome = cli("evaluate", *arguments, "--data", images_folder, "--json", report)
        assert message in outcome.error_line
        assert outcome.code == code
        assert not report.exists()


# --- people ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bapps(tmp_path_factory) -> Path:
    return write_bapps(tmp_path_factory.mktemp("bapps"))


def test_agreement_with_people(cli, run_folder, few_images, judgements, bapps, tmp_path):
    report = tmp_path / "measures.json"
    outcome = cli(
        "evaluate", run_folder, "--data", few_images, "--bapps", bapps,
        "--triplets", judgements, "--json", report,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    measures = strict_json(report.read_text())
    metric, _ = load_run(run_folder)
    distances, judge = [], []
    for line in judgements.read_text().splitlines()[1:]:
        *paths, share = line.split(",")
        images = [torch.from_numpy(read_pixels(Path(path)))[None] for path in paths]
        with torch.no_grad():
            distances.append([metric(images[0], image)[0].item() for image in images[1:]])
        judge.append(float(share))
    first, second = zip(*distances, strict=True)
    assert measures["triplets"] == {
        "agreement": pytest.approx(two_afc_agreement(first, second, judge)),
        "ceiling": pytest.approx(sum(max(j, 1 - j) for j in judge) / len(judge)),
        "triplets": len(judge),
    }
    assert list(measures["bapps"]) == ["two_afc", "two_afc_mean", "jnd", "jnd_mean"]
    assert set(measures["bapps"]["two_afc"]) == set(measures["bapps"]["jnd"]) == {
        "cnn", "traditional",
    }  # fmt: skip
    for kind in ("2AFC", "JND"):
        rows = [line for line in outcome.out.splitlines() if f"BAPPS, {kind} " in line]
        assert [row.split()[2] for row in rows] == ["cnn", "traditional", "mean"]
    assert f"{measures['bapps']['jnd_mean']:.4f}" in rows[-1]
    assert f"{len(judge)} triplets" in outcome.out


def test_judgements_that_are_not_there_are_told_before_the_work(
    cli, run_folder, images_folder, tmp_path, monkeypatch
):
    def work(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the judgements should have been looked at first")

    monkeypatch.setattr("dps_train.evaluate.heads.measure_heads", work)
    for option in ("--bapps", "--triplets"):
        missing = tmp_path / "none"
        outcome = cli("evaluate", run_folder, "--data", images_folder, option, missing)
        assert str(missing) in outcome.error_line
        assert outcome.code == 2


# --- held-out images, tables ----------------------------------------------------------


def test_of_too_many_images_some_are_drawn(cli, trained, run_folder, images_folder, monkeypatch):
    monkeypatch.setattr(command, "MOST_IMAGES", FEW)
    shown: list[list[float]] = []

    def measure(_metric: object, heads: tuple[str, ...], images: torch.Tensor, *_rest, **_options):
        shown.append(images.mean(dim=(1, 2, 3)).tolist())
        return dict.fromkeys(heads, trained.measures)

    monkeypatch.setattr("dps_train.evaluate.heads.measure_heads", measure)
    for seed in (0, 0, 1, 2):
        outcome = cli("evaluate", run_folder, "--data", images_folder, "--seed", seed)
        assert outcome.code == 0, outcome.err
        assert f"measured on {FEW} of the {COUNT} images" in outcome.err
    assert all(len(set(images)) == FEW for images in shown)
    assert shown[0] == shown[1]
    assert len(set(map(str, shown))) > 1


def test_heads_side_by_side_leave_out_what_nobody_knows(trained, capsys):
    measures: Measures = trained.measures
    some = dataclasses.replace(measures, named=None, stability=None)
    print_heads({"one": some, "other": some})
    words = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert {"score", "improved", "composition"} <= words
    assert {"named", "stability", "min", "max"}.isdisjoint(words)
    print_heads({"one": some, "other": measures})
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    (stability,) = (line for line in lines if line[0] == "stability")
    assert stability.count("none") == 1
