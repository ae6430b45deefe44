"""The distance bank, and the training of the head on it."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import pytest
import torch
from train_helpers import COUNT, random_backbone, seeded

from dps_train.contexts import AMOUNTS
from dps_train.data.sources import load_folder
from dps_train.distortions.families import FAMILY_SIZE
from dps_train.distortions.paper import NAMES
from dps_train.fit.additive import fit_additive
from dps_train.fit.training import train
from dps_train.model.comparisons import Comparison
from dps_train.model.feature_distances import FeatureDistances, build_bank
from dps_train.model.heads import AdditiveHead, ChannelHead, uniform_distance
from dps_train.model.metric import Preprocess

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def distances() -> FeatureDistances:
    return FeatureDistances(Preprocess(32), random_backbone(), Comparison("spatial"), CPU)


@pytest.fixture(scope="module")
def images(images_folder):
    return load_folder(images_folder).images


@pytest.fixture(scope="module")
def bank(distances, images):
    return build_bank(distances, images, pairs=600, size=32, generator=seeded(3))


# --- the bank -------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [1, FAMILY_SIZE, FAMILY_SIZE + 1, 100])
def test_it_holds_at_least_the_pairs_asked_for(distances, images, pairs):
    bank = build_bank(distances, images, pairs=pairs, size=32, generator=seeded())
    crops = len(bank.z)
    assert pairs <= crops * FAMILY_SIZE < pairs + FAMILY_SIZE
    assert bank.z.shape[:2] == (crops, FAMILY_SIZE)
    assert bank.amounts.shape == (crops, FAMILY_SIZE, len(NAMES))
    assert bank.other.shape == (crops, FAMILY_SIZE)


def test_distances_are_those_of_the_metric(distances, bank):
    assert torch.isfinite(bank.z).all()
    assert torch.all(bank.z >= 0)
    assert not bank.z.requires_grad
    assert (uniform_distance(bank.z) > 0).float().mean() > 0.9
    batch = torch.rand(3, 3, 32, 32, generator=seeded())
    z = distances.z(distances.maps(batch), batch)
    assert z.shape == (3, bank.z.shape[-1])
    assert z.count_nonzero() == 0


def test_it_follows_its_generator(distances, images, bank):
    torch.rand(3)
    again = build_bank(distances, images, pairs=600, size=32, generator=seeded(3))
    other = build_bank(distances, images, pairs=600, size=32, generator=seeded(4))
    for field in dataclasses.fields(bank):
        name = field.name
        assert torch.equal(getattr(again, name), getattr(bank, name))
        # The share of `other` depends only on the place in the family.
        assert name == "other" or not torch.equal(getattr(other, name), getattr(bank, name))


def test_it_may_be_larger_than_a_batch_and_need_not_fill_one(distances, images):
    bank = build_bank(distances, images, pairs=70 * FAMILY_SIZE, size=32, generator=seeded())
    assert len(bank.z) == 70
    assert torch.all(uniform_distance(bank.z).max(dim=1).values > 0)


# --- the head -------------------------------------------------------------------------


def fitted(bank, seed: int = 0, epochs: int = 2, **options: int) -> AdditiveHead:
    head = ChannelHead(bank.z.shape[-1], AMOUNTS, **options)
    fit_additive(head, bank, epochs=epochs, generator=seeded(seed))
    return head


def test_equal_seeds_give_equal_heads(bank):
    torch.rand(11)
    first = fitted(bank, 1).state_dict()
    torch.rand(5)
    second, other = fitted(bank, 1).state_dict(), fitted(bank, 2).state_dict()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_it_ends_in_evaluation_mode_and_leaves_the_bank_alone(bank):
    before = dataclasses.replace(bank, z=bank.z.clone(), amounts=bank.amounts.clone())
    head = fitted(bank)
    assert not head.training
    assert torch.equal(bank.z, before.z)
    assert torch.equal(bank.amounts, before.amounts)
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())


def test_it_learns_amounts_that_the_distances_tell(distances, images):
    drawn = build_bank(distances, images, pairs=3000, size=16, generator=seeded(3))
    telling = torch.cat([drawn.amounts, drawn.other[..., None]], dim=-1)
    bank = dataclasses.replace(drawn, z=1e-3 * telling)

    def error(head: AdditiveHead) -> float:
        with torch.no_grad():
            named = head.amounts(bank.z.flatten(0, 1))[:, : len(NAMES)]
        return float((named - bank.amounts.flatten(0, 1)).abs().mean())

    learned = error(fitted(bank, epochs=40))
    assert learned < 0.2 * float(bank.amounts.abs().mean())
    assert learned < error(fitted(bank, epochs=1))


# --- a whole training -----------------------------------------------------------------


def test_a_training_is_complete(trained, tiny_settings):
    info = trained.info
    assert info.name == "tiny"
    assert info.variant == "additive"
    assert info.ranking == [["color"], ["translate", "zoom"], ["rotate"]]
    assert list(info.importances) == list(AMOUNTS)
    assert [distortion.name for distortion in info.distortions] == list(NAMES)
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
