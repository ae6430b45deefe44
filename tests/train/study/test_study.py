"""A study: its plan, its table, resuming it, and folders that it refuses."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest
import scipy.stats
import study_helpers
import torch
from scores_helpers import write_scores
from study_helpers import tables, tiny_study, with_few_draws
from train_helpers import instead_of_the_real, measured_quickly, photos, write_images
from triplet_helpers import write_bapps, write_png

from dps_infer.errors import DpsError
from dps_train.agreement.scores.read import read_scores
from dps_train.data.sources import read_pixels
from dps_train.evaluate.ladders.kinds import KINDS
from dps_train.evaluate.ladders.photographs import load_photographs
from dps_train.fit.end_to_end.train import DivergedError
from dps_train.fit.training import train
from dps_train.judgements.image_distance import metric_distance
from dps_train.judgements.scoring import score_bapps
from dps_train.study import extra_images, run_job
from dps_train.study.extra_images import ExtraImages
from dps_train.study.folder import METRICS
from dps_train.study.plan import Study, plan
from dps_train.study.run_study import run_study
from dps_train.study.summary import summarize


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch) -> None:
    monkeypatch.setattr(run_job, "draw_lin_bank", with_few_draws(run_job))


@pytest.fixture(scope="module")
def finished(images_folder, stand_ins, tmp_path_factory) -> Iterator[tuple[Study, Path, list]]:
    """A finished study: its plan, its folder and its rows."""
    study = tiny_study(images_folder)
    folder = tmp_path_factory.mktemp("studies") / "done"
    with (
        pytest.MonkeyPatch.context() as patch,
        instead_of_the_real(stand_ins),
        measured_quickly(),
    ):
        patch.setattr(run_job, "draw_lin_bank", with_few_draws(run_job))
        rows = run_study(study, folder)
    return study, folder, rows


def refusal(study: Study, folder: Path) -> str:
    with pytest.raises(DpsError) as caught:
        run_study(study, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_metric_is_the_same_whatever_else_the_study_holds(images_folder):
    small = tiny_study(images_folder)
    large = dataclasses.replace(
        small,
        rankings=30,
        variants=("scratch", *small.variants),
        comparisons=("sort", None),
        backbones=("alexnet", "embedded"),
        repetitions=3,
    )
    jobs = {job.id: job for job in plan(large)}
    assert len(jobs) == len(plan(large)) == 30 * 5 * 2 * 2 * 3
    assert all(jobs[job.id] == job for job in plan(small))


def test_the_seed_draws_the_rankings_and_repetitions_have_seeds_of_their_own(images_folder):
    study = dataclasses.replace(tiny_study(images_folder, seed=2**63 - 1), repetitions=2)
    seeds = {job.repetition: job.settings.seed for job in plan(study)}
    assert seeds == {1: 2**63 - 1, 2: 0}
    rankings = [[job.context.ranking for job in plan(study) if job.repetition == n] for n in (1, 2)]
    assert rankings[0] == rankings[1]
    others = plan(tiny_study(images_folder, seed=5))
    assert [job.context.ranking for job in others] != rankings[0]


@pytest.mark.parametrize(
    ("changes", "embedded"),
    [
        ({"size": 64}, True),
        ({"size": 32}, False),
        ({"size": 64, "channel_norm": False}, False),
    ],
)
def test_additive_starts_from_the_embedded_metric_where_that_has_what_is_asked_for(
    changes, embedded, images_folder
):
    jobs = plan(tiny_study(images_folder, **changes))
    starts = {True: set(), False: set()}
    for job in jobs:
        starts[job.settings.variant == "additive"].add(job.settings.from_embedded)
    assert starts == {True: {embedded}, False: {False}}


def test_a_row_is_what_a_training_with_its_settings_gives(finished, monkeypatch):
    study, _, rows = finished
    monkeypatch.setattr("dps_train.fit.train_variant.draw_lin_bank", with_few_draws(run_job))
    last_ranking = plan(study)[1 :: study.rankings]
    assert [job.settings.variant for job in last_ranking] == list(study.variants)
    for job, values in zip(last_ranking, rows[1 :: study.rankings], strict=True):
        measures = train(job.settings, "same").measures
        assert values["score"] == pytest.approx(measures.score.mean, abs=1e-6), job.id
        assert values["composition"] == pytest.approx(measures.composition, abs=1e-6)
        assert values["monotonicity.zoom"] == pytest.approx(measures.monotonicity["zoom"], abs=1e-6)


def test_the_baseline_of_tune_is_the_pretrained_network(finished):
    _, _, rows = finished
    of = {(values["variant"], values["ranking"]): values for values in rows}
    for (variant, ranking), values in of.items():
        if variant != "additive":
            assert values["baseline"] == of["baseline", ranking]["score"], variant
        assert values["improved"] is (values["score"] > values["baseline"])


def test_only_what_is_missing_is_done_and_comes_out_the_same(finished, monkeypatch):
    study, folder, rows = finished
    before = tables(folder)
    lost = [job.id for job in plan(study) if job.settings.variant in ("lin", "tune")][1::2]
    for name in lost:
        (folder / METRICS / f"{name}.json").unlink()
    done = []
    run = run_job.JobRunner.run
    monkeypatch.setattr(
        run_job.JobRunner, "run", lambda self, job: done.append(job.id) or run(self, job)
    )
    assert run_study(study, folder) == rows
    assert done == lost
    assert tables(folder) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
def test_a_study_killed_at_random_moments_ends_with_the_same_table(
    images_folder, stand_ins, tmp_path
):
    arguments = (study_helpers.__file__, images_folder, tmp_path, *stand_ins, 3)
    outcome = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert outcome.returncode == 0, outcome.stderr
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")


def test_other_settings_are_refused_by_name_and_change_nothing(finished):
    study, folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    changed = dataclasses.replace(study, rankings=3, variants=("lin",))
    assert "rankings is 2 there and 3 here" in refusal(changed, folder)
    assert "variants is" in refusal(changed, folder)
    changed = dataclasses.replace(study, common=dataclasses.replace(study.common, steps=7))
    assert "settings.steps is 2 there and 7 here" in refusal(changed, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_images_are_refused(finished, tmp_path):
    study, folder, _ = finished
    images = write_images(tmp_path / Path(study.common.data).name, count=5)
    other = dataclasses.replace(study, common=dataclasses.replace(study.common, data=str(images)))
    assert "training_data.sha256 is" in refusal(other, folder)


def test_a_folder_of_other_things_is_refused(images_folder, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Sir")
    assert f"{tmp_path} is not a folder of a study" in refusal(tiny_study(images_folder), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_damaged_files_are_named(finished, tmp_path):
    study, folder, _ = finished
    path = folder / METRICS / f"{plan(study)[0].id}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    try:
        assert f"{path} cannot be read" in refusal(study, folder)
    finally:
        path.write_bytes(whole)
    (tmp_path / "study.json").write_text("{")
    assert "study.json cannot be read" in refusal(study, tmp_path)


def test_the_table_has_a_typed_row_for_each_metric(finished):
    study, folder, rows = finished
    table = pyarrow.parquet.read_table(folder / "table.parquet")
    with (folder / "table.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert table.num_rows == len(lines) == len(rows) == 8
    assert table.column_names == list(lines[0])
    assert [line["metric"] for line in lines] == [job.id for job in plan(study)]
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["ranking"] == "string"
    assert kinds["seed"] == "int64"
    assert kinds["score"] == kinds["monotonicity.rotate"] == kinds["retention.jpeg2000"] == "double"
    assert kinds["improved"] == "bool"
    assert not any("second" in name for name in table.column_names)
    for line, values in zip(lines, table.to_pylist(), strict=True):
        assert float(line["score"]) == values["score"]
        assert (values["named.blur"] is not None) == (values["variant"] == "additive")


def test_a_metric_that_diverges_does_not_stop_the_others(images_folder, tmp_path, monkeypatch):
    study = dataclasses.replace(tiny_study(images_folder), variants=("baseline", "tune"))
    run = run_job.JobRunner.run

    def diverge(self, job):
        if job.settings.variant == "tune":
            raise DivergedError("the loss is nan")
        return run(self, job)

    monkeypatch.setattr(run_job.JobRunner, "run", diverge)
    rows = run_study(study, tmp_path / "study")
    assert [values["error"] for values in rows] == ["", "", "the loss is nan", "the loss is nan"]
    baseline, tune = summarize(rows)
    assert (baseline["metrics"], baseline["failed"], tune["failed"]) == (2, 0, 2)
    assert tune["score"] is tune["improved"] is None


def test_agreement_with_people_is_that_of_the_metric_itself(images_folder, tmp_path, monkeypatch):
    judgements = write_bapps(tmp_path / "bapps")
    study = dataclasses.replace(
        tiny_study(images_folder),
        rankings=1,
        variants=("baseline", "lin"),
        bapps=judgements,
    )
    baseline, lin = run_study(study, tmp_path / "study")
    monkeypatch.setattr("dps_train.fit.train_variant.draw_lin_bank", with_few_draws(run_job))
    for values, job in zip((baseline, lin), plan(study), strict=True):
        distance = metric_distance(train(job.settings, "same").metric, torch.device("cpu"))
        scores = score_bapps(judgements, distance)
        assert values["bapps.2afc"] == pytest.approx(scores.two_afc_mean)
        assert values["bapps.2afc.cnn"] == pytest.approx(scores.two_afc["cnn"])
        assert values["bapps.jnd"] == pytest.approx(scores.jnd_mean)
        assert values["bapps.baseline.2afc"] == baseline["bapps.2afc"]
    (judgements / "2afc/val/cnn/judge/000000.npy").rename(
        judgements / "2afc/val/cnn/judge/000099.npy"
    )
    for kind in ("ref", "p0", "p1"):
        folder = judgements / "2afc/val/cnn" / kind
        (folder / "000000.png").rename(folder / "000099.png")
    assert "bapps is" in refusal(study, tmp_path / "study")


def test_scores_and_ladders_become_columns_of_the_metric_itself(
    images_folder, tmp_path, monkeypatch
):
    pairs = read_scores(write_scores(tmp_path / "ours", references=2, levels=2))
    pictures = tmp_path / "photographs"
    pictures.mkdir()
    for number, image in enumerate(photos(2, 140, 160, seed=4).numpy()):
        write_png(pictures / f"{number}.png", image)
    # Two ladders show as much as two dozen.
    monkeypatch.setattr(extra_images, "kinds_here", lambda: (KINDS[3:5], {}))
    study = dataclasses.replace(
        tiny_study(images_folder),
        rankings=1,
        variants=("baseline", "lin", "additive"),
        extra=ExtraImages((pairs,), tuple(load_photographs(str(pictures), 2))),
    )
    rows = run_study(study, tmp_path / "study")
    monkeypatch.setattr("dps_train.fit.train_variant.draw_lin_bank", with_few_draws(run_job))
    baseline, *_ = rows
    for values, job in zip(rows, plan(study), strict=True):
        distance = metric_distance(train(job.settings, "same").metric, torch.device("cpu"))
        distances = [
            float(distance(read_pixels(first)[None], read_pixels(second)[None])[0])
            for first, second in zip(pairs.references, pairs.candidates, strict=True)
        ]
        expected = scipy.stats.spearmanr(pairs.dissimilarity, distances)[0]
        assert values["scores.ours.overall"] == pytest.approx(expected, abs=1e-9)
        assert -1 <= values["scores.ours.within"] <= 1
        assert -1 <= values["ladders.lowest"] <= values["ladders.order"] <= 1
        assert values["ladders.evenness"] >= 1
    assert rows[1]["scores.baseline.ours.overall"] == baseline["scores.ours.overall"]
    assert rows[1]["ladders.baseline.order"] == baseline["ladders.order"]
    # The linear heads of this study follow the steps of noise and blur, as any sound metric does.
    assert baseline["ladders.order"] > 0.9
    summary = summarize(rows)[1]
    assert summary["scores.ours.overall"] == rows[1]["scores.ours.overall"]
    other = dataclasses.replace(pairs, scores=pairs.scores[::-1])
    changed = dataclasses.replace(study, extra=ExtraImages((other,), ()))
    assert "scores is" in refusal(changed, tmp_path / "study")


def test_the_seconds_of_a_metric_are_kept_beside_its_row(finished):
    study, folder, _ = finished
    record = json.loads((folder / METRICS / f"{plan(study)[0].id}.json").read_bytes())
    assert record["seconds"] > 0
    assert "seconds" not in record["values"]
    manifest = msgspec.json.decode((folder / "study.json").read_bytes())
    assert manifest["training_data"]["sha256"]
    assert manifest["backbones"]["embedded"]["licence"]
