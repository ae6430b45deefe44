"""Variants: the parts that they train, their runs and manifests, judgements, and resuming."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from triplet_helpers import write_judgements

from dps_infer.contexts.context import ranking_context
from dps_train.contexts import AMOUNTS
from dps_train.fit.from_judgements import train_on_judgements
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.run_folder import load_run, save_run
from dps_train.fit.settings import BASELINE, LIN, SCRATCH, TUNE, Settings
from dps_train.fit.training import train
from dps_train.model.heads import ScalarHead

RANKING = (("color",), ("blur",))


@pytest.fixture(scope="module")
def settings(images_folder) -> Settings:
    return Settings(
        context=ranking_context(RANKING),
        data=str(images_folder),
        size=32,
        pairs=20,
        epochs=1,
        steps=2,
        device="cpu",
    )


@pytest.fixture(scope="module")
def judgements(tmp_path_factory):
    return write_judgements(tmp_path_factory.mktemp("judged"), 40)


@pytest.mark.parametrize("variant", [BASELINE, LIN, TUNE, SCRATCH])
def test_a_variant_trains_what_it_should(settings, variant, tmp_path):
    asked = dataclasses.replace(settings, variant=variant)
    start = initial_metric(asked)
    trained = train(asked, "some")
    metric = trained.metric
    assert isinstance(metric.head, ScalarHead)
    assert not metric.training
    assert trained.info.variant == variant
    assert trained.info.comparison == "spatial"
    assert trained.info.amounts == ["other"]
    assert trained.info.importances == {"other": 1.0}
    assert trained.info.ranking == [["color"], ["blur"]]
    same_head = torch.equal(metric.head.weights, start.head.weights)
    same_network = all(
        torch.equal(value, metric.backbone.state_dict()[key])
        for key, value in start.backbone.state_dict().items()
    )
    assert same_head == (variant == BASELINE)
    assert same_network == (variant in (BASELINE, LIN))
    assert metric.head.weights.min() >= 0
    if variant in (TUNE, SCRATCH):
        assert trained.info.weights.source.endswith(f", then {variant}")
        assert trained.info.weights.sha256 != start.backbone.weights.sha256
    assert (trained.before is None) == (variant == BASELINE)
    assert trained.measures.score is not None
    assert trained.measures.named is None
    # A run folder holds all of it.
    save_run(tmp_path / "run", trained, settings={})
    loaded, manifest = load_run(tmp_path / "run")
    assert manifest.metric == trained.info
    for key, value in metric.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key


def test_scratch_depends_on_the_seed(settings):
    first, second, again = (
        initial_metric(dataclasses.replace(settings, variant=SCRATCH, seed=seed)).backbone
        for seed in (1, 2, 1)
    )
    key = next(iter(first.state_dict()))
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], second.state_dict()[key])


@pytest.mark.parametrize("variant", ["additive", LIN, TUNE])
def test_judgements_instead_of_a_ranking(settings, judgements, variant, tmp_path):
    size = 64 if variant == "additive" else 32
    asked = dataclasses.replace(
        settings, context=None, judgements=judgements.path, variant=variant, size=size
    )
    trained = train_on_judgements(asked, "judged")
    info, agreement = trained.info, trained.agreement
    assert info.ranking is None
    assert info.judgements.source == judgements.path.name
    assert agreement.cross_validated == (variant == "additive")
    assert info.judgements.triplets == 40 - (0 if agreement.cross_validated else agreement.triplets)
    for share in (agreement.before, agreement.after, agreement.ceiling):
        assert 0 <= share <= 1
    assert (info.scores.baseline, info.scores.adapted) == (agreement.before, agreement.after)
    assert list(info.importances) == (list(AMOUNTS) if variant == "additive" else ["other"])
    save_run(tmp_path / "run", trained, settings={})
    assert load_run(tmp_path / "run")[1].metric == info
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["agreement"]["after"] == agreement.after


def test_the_command_line_resumes_and_cleans_up(cli, images_folder, tmp_path):
    out = tmp_path / "run"
    common = (
        "--ranking", "color,blur", "--variant", "tune", "--data", images_folder, "--size", "32",
        "--steps", "10", "--device", "cpu", "--out", out, "--logger", "csv",
    )  # fmt: skip
    outcome = cli(*common, "--resume", "--json")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.log"]
    assert json.loads((out / "manifest.json").read_text())["settings"]["steps"] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ranking", "3,1", "--triplets", "a.csv"), "give one"),
        (("--triplets", "none.csv"), "none.csv"),
        (("--triplets", "none.csv", "--from", "scratch"), "--variant lin or tune"),
        (("--ranking", "3,1", "--variant", "lin", "--from", "scratch"), "--variant additive"),
        (("--ranking", "3,1", "--variant", "lin", "--resume"), "tune and scratch"),
        (("--ranking", "3,1", "--variant", "tune", "--resume"), "--out"),
        (("--ranking", "3,1", "--comparison", "spatial+fancy"), "'fancy'"),
        (("--bapps", "nowhere"), "nowhere"),
    ],
)
def test_usage_errors_of_variants(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*arguments)
    assert message in outcome.error_line
    assert outcome.code == 2
    assert list(tmp_path.iterdir()) == []
