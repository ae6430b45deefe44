"""The script that makes the embedded metric: seeded, and its files are the metric."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn
from train_helpers import levels, photos, random_pretraining, seeded

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import AMOUNTS
from dps_train.distortions.distortion import quantize
from dps_train.model.backbones import Backbone
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.embedded.embedded_metric import Recipe, load_universal, recipe
from dps_train.model.heads import PairHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder
from dps_train.pretrain import cli, train
from dps_train.pretrain.embedded_parts import (
    EmbeddedParts,
    fold,
    initial_parts,
    normalize,
    stored_weights,
)
from dps_train.pretrain.train import FAMILY_SIZE, augment

STEPS = 2


@pytest.fixture(scope="module")
def small():
    """A training of seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "IMAGES", 12)
        patch.setattr(train, "CROPS_PER_STEP", 3)
        patch.setattr(train, "BALANCING", 1)
        yield


@pytest.fixture(scope="module")
def made(small) -> tuple[EmbeddedParts, Recipe]:
    return train.pretrain(STEPS, seed=3)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


# --- the training ---------------------------------------------------------------------


def test_a_training_follows_its_seed_and_touches_no_global_state(made):
    # Elsewhere than where the training before may have left it.
    torch.rand(3), random.random(), np.random.rand()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    again, recipe_again = train.pretrain(STEPS, seed=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[2], strict=True))
    model, recipe_made = made
    state = state_of(model)
    assert state.keys() == again.state_dict().keys()
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name]), name
        assert torch.isfinite(value.float()).all(), name
    assert recipe_again == recipe_made
    data = recipe_made.data
    assert (recipe_made.steps, recipe_made.seed, data.images) == (STEPS, 3, train.IMAGES)
    assert len(data.sha256) == 64


def test_initial_weights_follow_the_generator():
    first, second, other = (dict(initial_parts(seeded(n)).named_parameters()) for n in (3, 3, 4))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        # What has one dimension begins at 0 or 1 in places.
        assert value.dim() <= 1 or not torch.equal(value, other[name]), name


def test_every_part_learns(small, monkeypatch):
    initial = []

    def remembered(generator: torch.Generator) -> EmbeddedParts:
        model = drawn(generator)
        initial.append(state_of(fold(model)))
        return model

    drawn = train.initial_parts
    monkeypatch.setattr(train, "initial_parts", remembered)
    learnt, _ = train.pretrain(1, seed=5)
    for name, parameter in learnt.named_parameters():
        assert not torch.equal(parameter, initial[0][name]), name


def test_z_of_families_is_that_of_each_pair():
    model = random_pretraining()
    reference = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=seeded(1))
    changed = torch.rand(2, 3, 3, IMAGE_SIZE, IMAGE_SIZE, generator=seeded(2))
    changed[1, 2] = reference[1]
    with torch.no_grad():
        z = model.z(reference, changed)
        assert z.shape == (2, 3, 1 + CODE)
        assert z.dtype == torch.float32
        assert z[1, 2, 0] == 0
        for crop in range(2):
            for member in range(3):
                pair = model.z(reference[crop][None], changed[crop, member][None, None])
                # Half precision: eight bits.
                within = 2**-6 * float(z[crop, member].abs().max())
                torch.testing.assert_close(pair[0, 0], z[crop, member], rtol=0, atol=within)


def test_there_is_a_target_for_every_member(small, monkeypatch):
    seen = []

    def loss(head, z, targets, contexts, _emphasis, graded, composed):
        seen.append((z.shape, targets, contexts, graded, composed))
        return z.sum() + head.evidence(z).sum()

    monkeypatch.setattr(train, "additive_loss", loss)
    train.pretrain(1, seed=0)
    # One step of the second half, and one of the head alone.
    (z, targets, contexts, graded, composed), _ = seen
    assert z == (3, FAMILY_SIZE, 1 + CODE)
    assert targets.shape == (3, FAMILY_SIZE, len(AMOUNTS))
    assert contexts.shape[1] == len(AMOUNTS)
    assert torch.all(targets >= 0)
    # The last two are moved windows: one amount each, and more of it in the second.
    weaker, stronger = targets[:, -2], targets[:, -1]
    assert torch.all((stronger > 0).sum(dim=1) == 1)
    assert torch.all(weaker <= stronger)
    assert (FAMILY_SIZE - 2, FAMILY_SIZE - 1) in graded
    # Each of two combined distortions also occurs alone.
    shown = (targets[:, :, :-1] > 0).sum(dim=2)
    for alone, both in composed:
        assert torch.all(shown[:, alone] <= 1)
        assert torch.all(shown[:, both] <= 2)
        assert torch.all(shown[:, alone] <= shown[:, both])


# --- variation ------------------------------------------------------------------------


def test_varied_images_have_the_levels_of_files_and_follow_their_generator():
    images = levels(40, 24, 24)
    before = images.clone()
    varied = augment(images, seeded(2))
    assert torch.equal(images, before)
    assert varied.shape == images.shape
    assert torch.isfinite(varied).all()
    assert torch.equal(quantize(varied), varied)
    torch.rand(3)
    assert torch.equal(augment(images, seeded(2)), varied)
    assert not torch.equal(augment(images, seeded(3)), varied)
    changed = (varied != images).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.8


def test_images_are_mirrored_and_turned_each_by_itself():
    # A bright place off every axis: where it goes tells how its image was mirrored.
    images = torch.full((400, 3, 8, 8), 0.2)
    images[:, :, 2, 1] = 0.9
    brightest = augment(images, seeded(1)).mean(dim=1).flatten(1).argmax(dim=1)
    places, counts = brightest.unique(return_counts=True)
    inner, outer = (2, 5), (1, 6)
    expected = {*itertools.product(inner, outer), *itertools.product(outer, inner)}
    assert {divmod(place, 8) for place in places.tolist()} == expected
    shares = dict(zip(places.tolist(), (counts / 400).tolist(), strict=True))
    # Half are mirrored across, a fifth down and a fifth turned; four standard errors of 400.
    assert shares[2 * 8 + 1] == pytest.approx(0.5 * 0.8 * 0.8, abs=0.1)
    assert shares[2 * 8 + 6] == pytest.approx(0.5 * 0.8 * 0.8, abs=0.1)
    assert shares[1 * 8 + 2] == pytest.approx(0.5 * 0.8 * 0.2, abs=0.06)


# --- the files ------------------------------------------------------------------------


def test_folded_files_are_the_trained_metric():
    model = random_pretraining()
    before = state_of(model)
    backbone_weights, rest = stored_weights(fold(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    metric = Metric(Preprocess(IMAGE_SIZE), Backbone("embedded"), PairEncoder(), model.head)
    metric.backbone.network.load_state_dict(backbone_weights)
    comparison = {
        name.removeprefix("comparison."): value
        for name, value in rest.items()
        if name.startswith("comparison.")
    }
    metric.comparison.load_state_dict(comparison)
    metric.eval()
    first, second = photos(4, IMAGE_SIZE, IMAGE_SIZE), photos(4, IMAGE_SIZE, IMAGE_SIZE, 1)
    images = [each.permute(0, 3, 1, 2).float() / 255 for each in (first, second)]
    with torch.no_grad():
        z = metric.comparison(*metric.features(first, second))
        maps = [list(model.backbone(normalize(each)).values()) for each in images]
        expected = model.comparison(*(model.comparison.normalized(each) for each in maps))
    # Parameters have eleven bits, and nine layers follow each other.
    torch.testing.assert_close(z, expected, rtol=0, atol=0.01 * float(expected.abs().max()))


def test_files_hold_half_parameters_and_no_statistics():
    for weights in stored_weights(fold(random_pretraining())):
        assert weights
        for name, value in weights.items():
            assert not any(word in name for word in ("running", "tracked", "normalize")), name
            buffer = name in ("head.threshold", "head.reference", "head.importances")
            assert value.dtype == (torch.float32 if buffer else torch.float16), name


@pytest.fixture
def untrained(monkeypatch) -> list[tuple[int, int]]:
    """Let the command train nothing; gives what it was asked for."""
    asked = []

    def made(steps: int, seed: int, note: object) -> tuple[EmbeddedParts, Recipe]:
        asked.append((steps, seed))
        return fold(random_pretraining()), Recipe(
            DataInfo(source="x", images=3, sha256="ab"), steps, seed
        )

    monkeypatch.setattr(cli, "pretrain", made)
    return asked


def test_the_command_writes_both_files(run_main, untrained, tmp_path, monkeypatch):
    arguments = ("--steps", 20, "--seed", 7, "--out", tmp_path)
    code, out, err = run_main("dps_train.pretrain.cli", *arguments)
    assert (code, out) == (0, "")
    assert untrained == [(20, 7)]
    files = [tmp_path / module.WEIGHTS.name for module in (embedded_backbone, embedded_metric)]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(str(file) in err for file in files)
    for module, file in zip((embedded_backbone, embedded_metric), files, strict=True):
        monkeypatch.setattr(module, "WEIGHTS", file)
    assert isinstance(load_universal().head, PairHead)
    assert (recipe().steps, recipe().seed, recipe().data.sha256) == (20, 7, "ab")
    # Nothing is overwritten unasked, or trained in vain.
    content = [file.read_bytes() for file in files]
    code, _, err = run_main("dps_train.pretrain.cli", *arguments)
    assert code == 1
    assert "exists already" in err
    assert untrained == [(20, 7)]
    assert [file.read_bytes() for file in files] == content
    assert run_main("dps_train.pretrain.cli", *arguments, "--force")[0] == 0
    assert len(untrained) == 2
