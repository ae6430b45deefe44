"""Small runs of the benchmarks: their figures are in range, and agree with the commands."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from benchmarks.quality import (
    accuracy,
    custom_distortion,
    gallery,
    heads,
    judgements,
    study,
    ui_regression,
)
from benchmarks.shared import domains
from benchmarks.speed import backbone_speed, rules_cost, throughput
from dps_infer.contexts.folders import GALLERY
from dps_train.data.sources import load_folder
from dps_train.measure import evaluation_bank


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(evaluation_bank, "GRADES", 3)
    monkeypatch.setattr(evaluation_bank, "DRAWS", 2)


def test_accuracy_is_that_of_the_evaluate_command(measured, images_folder, run_main, tmp_path):
    arguments = ("--data", images_folder, "--pages", 2, "--rankings", 3)
    record = measured("accuracy", *arguments)
    assert record.inputs["data"].name == "patches"
    rows = record.read_figures(accuracy.Figures).rows
    assert [row.images for row in rows] == [
        "patches",
        "thumbnails of patches",
        "pages of text",
        "sample",
    ]
    assert [row.count for row in rows] == [6, 6, 2, 32]
    file = tmp_path / "measures.json"
    arguments = ("evaluate", "embedded", "--data", images_folder, "--rankings", 3, "--json", file)
    assert run_main("dps_train.cli", *arguments)[0] == 0
    expected = json.loads(file.read_text(encoding="utf-8"))
    assert rows[0].score == expected["score"]["mean"]
    assert rows[0].lowest == expected["score"]["min"]
    assert rows[0].monotonicity == expected["monotonicity"]
    assert rows[0].retention == expected["retention"]


def test_heads_side_by_side(measured, images_folder, monkeypatch):
    # Training the linear head takes longer than all else, and has tests of its own.
    monkeypatch.setattr(heads, "HEADS", ("uniform", "additive"))
    record = measured("heads", "--data", images_folder, "--rankings", 2)
    rows = record.read_figures(heads.Figures).rows
    assert [row.metric for row in rows] == ["uniform", "additive"]
    # All heads are measured on the same draws, and beside the same unadapted distance.
    assert len({row.ceiling for row in rows}) == 1
    assert rows[0].score == rows[0].baseline
    assert not rows[0].named
    assert rows[1].named


def test_gallery_has_a_column_for_each_context(measured):
    figures = measured("gallery").read_figures(gallery.Figures)
    assert [entry.name for entry in figures.entries] == sorted(p.stem for p in GALLERY.iterdir())
    for entry in figures.entries:
        assert max(entry.importances.values()) == 1
        # In `general`, no distortion matters more than another.
        assert (entry.score is None) == (entry.name == "general")
        if entry.score is not None:
            assert entry.baseline < entry.score <= 1


def test_ui_regression(measured, images_folder, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    first, second = sorted(images_folder.iterdir())[:2]
    header, moved = "reference,candidate,change\n", ui_regression.MOVED[0]
    for name in (ui_regression.ACCEPTABLE, ui_regression.MORE):
        (pages / name).write_text(header + f"{first},{first},{moved}\n" * 32)
    (pages / ui_regression.CHANGED).write_text(
        header + f"{first},{second},another\n{first},{first},none\n"
    )
    record = measured("ui_regression", "--pages", pages, "--others", pages / "changed.csv")
    figures = record.read_figures(ui_regression.Figures)
    assert figures.threshold == 0
    assert [len(group.distances) for group in figures.acceptable] == [32]
    another, none = figures.changed
    assert another.distances[0] > 0.1
    assert none.distances == [0]
    assert figures.others == figures.changed
    told = {row[0]: row[-2:] for row in ui_regression.tables(figures)["changed"].rows}
    assert told == {"another": ("1 of 1", "1 of 1"), "none": ("0 of 1", "0 of 1")}


def test_custom_distortion(measured, images_folder, monkeypatch):
    monkeypatch.setattr(custom_distortion, "RANKINGS", 10)
    record = measured("custom_distortion", "--data", images_folder, "--pairs", 100)
    assert record.inputs["distortion"].name == "jpeg_distortion.py"
    figures = record.read_figures(custom_distortion.Figures)
    (learned,) = figures.learned
    assert (figures.distortion, figures.images, learned.source) == ("jpeg", 6, "sample")
    # So few pairs teach little, and must not cost what the head knows of the six.
    assert learned.six.mean > figures.before.mean - 0.01


def test_judgements(measured, images_folder):
    arguments = ("--train-data", images_folder, "--data", images_folder, "--people", 1)
    record = measured("judgements", *arguments, "--triplets", 500)
    figures = record.read_figures(judgements.Figures)
    assert figures.people == 1
    assert list(figures.random) == [20, 100, 500]
    assert list(figures.page) == list(range(5, 41, 5))
    assert 0.7 < figures.random[500] <= 1


def test_study(measured, images_folder):
    arguments = ("--data", images_folder, "--train-data", images_folder, "--rankings", 1)
    record = measured("study", *arguments, "--variants", "baseline,lin", "--epochs", 1)
    baseline, lin = record.read_figures(study.Figures).variants
    assert (baseline.variant, lin.variant) == ("baseline", "lin")
    assert baseline.score == baseline.baseline == lin.baseline


def test_backbone_speed(measured, monkeypatch):
    monkeypatch.setattr(backbone_speed, "SIZES", (64,))
    figures = measured("backbone_speed", "--rounds", 1).read_figures(backbone_speed.Figures)
    assert [(row.size, row.batch) for row in figures.times] == [(64, 1), (64, 16)]
    assert all(row.embedded > 0 and row.squeezenet1_1 > 0 for row in figures.times)


def test_throughput_writes_the_same_pairs_for_a_seed(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        throughput.write_pairs(folder, 3, seed)
    one, two, other = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders
    )
    assert len(one) == 6
    assert one == two
    assert one != other


def test_throughput_scores_files_and_measures_memory(tmp_path):
    throughput.write_pairs(tmp_path, 2, 0)
    throughput.our_side(None)(list(islice(throughput.pairs_in(tmp_path), 3)))
    assert throughput.peak_memory(tmp_path, 1, None) > 10


def test_throughput_gives_ratios():
    speed = [
        throughput.Speed(metric=throughput.LPIPS, rate=20),
        throughput.Speed(metric=throughput.EMBEDDED, rate=50),
    ]
    figures = throughput.Figures(pairs=2, candidates=2, speed=speed, sharing=[], memory=[])
    rows = throughput.tables(figures)["speed"].rows
    assert [row[2] for row in rows] == ["1.0", "2.5"]


def test_domains(images_folder):
    photographs = load_folder(images_folder)
    small = domains.thumbnails(photographs)
    assert {image.shape for image in small.images} == {(32, 32, 3)}
    pages = domains.pages(2)
    assert {image.shape for image in pages.images} == {(256, 256, 3)}
    assert pages.sha256() == domains.pages(2).sha256()
    assert np.ptp(pages.images[0]) > 100


def test_rules_cost(measured):
    record = measured("rules_cost", "--pairs", 6, "--rounds", 1, "--names", 20, "--tables", 4)
    figures = record.read_figures(rules_cost.Figures)
    assert [row.side for row in figures.speed] == list(rules_cost.SIDES)
    assert all(row.cpu_ratio > 0 and row.wall_ratio > 0 for row in figures.speed)
    assert figures.resolve_seconds > 0
