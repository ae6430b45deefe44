"""A whole training: complete, equal for equal seeds, and better than the start."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import pytest
import torch
from train_helpers import COUNT

from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import KINDS, OTHER, SIZE
from dps_train.contexts import AMOUNTS
from dps_train.distortions.kinds import KINDS as DESCRIBED
from dps_train.distortions.paper import NAMES
from dps_train.fit.training import train
from dps_train.measure.anchor_ladders import LADDERS
from dps_train.model.embedded.embedded_metric import load_universal


def test_a_training_is_complete(trained, tiny_settings):
    info = trained.info
    assert info.name == "tiny"
    assert info.variant == "additive"
    assert info.ranking == [["color"], ["translate", "zoom"], ["rotate"]]
    assert list(info.importances) == list(AMOUNTS)
    assert info.importances[SIZE] == 0
    assert [distortion.name for distortion in info.distortions] == list(KINDS)
    for described, kind in zip(info.distortions, DESCRIBED, strict=True):
        assert described.unit == kind.unit
        assert described.directions == kind.directions
        # Only the distortions that calibration draws have a range.
        assert (described.range is not None) == (kind.name in NAMES)
    assert info.training_data.images + info.held_out_data.images == COUNT
    assert info.training_data.sha256 != info.held_out_data.sha256
    assert info.training_data.source == "leaves"
    assert info.seed == tiny_settings.seed
    assert info.tools["torch"] == version("torch")
    assert trained.metric.head.importances.tolist() == pytest.approx(
        list(info.importances.values()), rel=1e-7
    )
    assert not trained.metric.training
    calibration = trained.calibration
    assert list(calibration.distances) == list(NAMES)
    for quantiles in calibration.distances.values():
        assert len(quantiles) == len(calibration.levels)
        assert quantiles == sorted(quantiles)
        assert quantiles[0] >= 0
    assert info.scores.adapted == trained.measures.score.mean
    assert trained.measures.images == info.held_out_data.images


def test_equal_seeds_give_equal_trainings(trained, tiny_settings):
    torch.rand(7)
    again = train(tiny_settings, "tiny")
    for key, value in trained.metric.state_dict().items():
        assert torch.equal(value, again.metric.state_dict()[key]), key
    assert again.measures == trained.measures
    assert again.calibration == trained.calibration
    assert again.info == trained.info


def test_a_training_has_ladders_of_every_amount(trained):
    assert [ladder.name for ladder in trained.ladders] == list(LADDERS)
    for ladder in trained.ladders:
        for images in ladder.amounts:
            assert all(len(row) == len(AMOUNTS) for row in images)
            assert all(value >= 0 for row in images for value in row)
        assert len(ladder.amounts) == len(ladder.steps)


def test_only_own_images_change_the_embedded_head(tiny_settings, trained):
    few = dataclasses.replace(tiny_settings, data="sample", test_data=tiny_settings.data)
    sample = train(few, "sample")
    before = load_universal().state_dict()
    after = sample.metric.state_dict()
    for name, value in before.items():
        assert name == "head.importances" or torch.equal(value, after[name]), name
    adapted = trained.metric.state_dict()
    assert any(not torch.equal(adapted[name], value) for name, value in before.items())
    for name, value in before.items():
        if name.startswith(("backbone.", "comparison.code.")):
            assert torch.equal(adapted[name], value), name


@pytest.mark.parametrize(
    ("ranking", "importances"),
    [
        ("color,*,blur", {"color": 0.16, "noise": 0.4, "zoom": 0.4, OTHER: 0.4, "blur": 1.0}),
        ("other,blur,mirror", {OTHER: 0.16, "blur": 0.4, "mirror": 1.0}),
    ],
)
def test_rankings_of_any_kinds(tiny_settings, ranking, importances):
    # The head stays as it is, and so do all measures.
    settings = dataclasses.replace(
        tiny_settings, data="sample", context=ranking_context(ranking), test_data=tiny_settings.data
    )
    found = train(settings, "some").info
    for name, value in importances.items():
        assert found.importances[name] == pytest.approx(value), name
    assert found.ranking == [group.split("=") for group in ranking.split(",")]
