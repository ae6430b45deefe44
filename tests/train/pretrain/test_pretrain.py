"""The script that makes the embedded metric: seeded, and its files are the metric."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn
from train_helpers import (
    levels,
    pair_metric,
    photos,
    random_pretraining,
    seeded,
    with_random_presence,
)

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import PAPER_AMOUNTS
from dps_train.distortions.distortion import quantize
from dps_train.fit.checkpoints import CheckpointError
from dps_train.fit.presence import bank
from dps_train.fit.presence.bank import Collection
from dps_train.model.backbone.backbones import Backbone
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.embedded.embedded_metric import Recipe, load_universal, recipe
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder
from dps_train.pretrain import cli, presence, train
from dps_train.pretrain.embedded_parts import (
    EmbeddedParts,
    fold,
    initial_parts,
    normalize,
    stored_weights,
)
from dps_train.pretrain.presence import pretrain_presence
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
    assert targets.shape == (3, FAMILY_SIZE, len(PAPER_AMOUNTS))
    assert contexts.shape[1] == len(PAPER_AMOUNTS)
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
def untrained(monkeypatch) -> list[tuple[object, ...]]:
    """Let the command train nothing; gives what it was asked for."""
    asked: list[tuple[object, ...]] = []
    data = DataInfo(source="x", images=3, sha256="ab")

    def network(steps: int, seed: int, folder: object, note: object) -> tuple[object, Recipe]:
        asked.append(("network", steps, seed, folder))
        return fold(random_pretraining()), Recipe(data, steps, seed)

    def head(metric: object, seed: int, folder: object, *, steps: int, note: object) -> Recipe:
        asked.append(("head", steps, seed, folder))
        with_random_presence(metric)
        return Recipe(data, steps, seed)

    monkeypatch.setattr(cli, "pretrain", network)
    monkeypatch.setattr(cli, "pretrain_presence", head)
    return asked


def test_the_command_writes_all_files(run_main, untrained, tmp_path, monkeypatch):
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    arguments = ("--steps", 20, "--head-steps", 30, "--seed", 7, "--out", out, "--work", work)
    code, printed, err = run_main("dps_train.pretrain.cli", *arguments)
    assert (code, printed) == (0, "")
    assert untrained == [("network", 20, 7, work / "network"), ("head", 30, 7, work / "head")]
    places = (
        (embedded_backbone, "WEIGHTS"), (embedded_metric, "WEIGHTS"), (embedded_metric, "PRESENCE"),
    )  # fmt: skip
    files = [out / getattr(module, name).name for module, name in places]
    assert sorted(out.iterdir()) == sorted(files)
    assert all(str(file) in err for file in files)
    for (module, name), file in zip(places, files, strict=True):
        monkeypatch.setattr(module, name, file)
    head = load_universal().head
    assert torch.equal(head.scale, with_random_presence(load_universal()).head.scale)
    assert (recipe().steps, recipe().seed, recipe().data.sha256) == (20, 7, "ab")
    # Nothing is overwritten unasked, or trained in vain.
    content = [file.read_bytes() for file in files]
    code, _, err = run_main("dps_train.pretrain.cli", *arguments)
    assert code == 1
    assert "exists already" in err
    assert len(untrained) == 2
    assert [file.read_bytes() for file in files] == content
    assert run_main("dps_train.pretrain.cli", *arguments, "--force")[0] == 0
    assert len(untrained) == 4


def test_the_command_may_train_the_head_alone(run_main, untrained, tmp_path):
    code, _, err = run_main("dps_train.pretrain.cli", "--head-only", "--out", tmp_path)
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == [embedded_metric.PRESENCE.name]
    ((stage, steps, seed, folder),) = untrained
    assert (stage, steps, seed, folder) == ("head", presence.STEPS, 0, None)


# --- the head -------------------------------------------------------------------------


def test_the_head_is_trained_and_may_be_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(presence, "SIDE", 96)
    options = {
        "images": 3, "pages": 2, "steps": 2,
        "collections": (
            Collection("paper", 1, 64, paper=True), Collection("own", 1, 64, paper=False),
            Collection("pages", 1, 64, paper=False, families="pages"),
        ),
    }  # fmt: skip
    metrics = [pair_metric() for _ in range(3)]
    recipes = [pretrain_presence(metrics[0], 4, None, **options)]
    measured = []
    measure = bank._measure
    monkeypatch.setattr(bank, "_measure", lambda *a: measured.append(1) or measure(*a))
    for metric in metrics[1:]:
        recipes.append(pretrain_presence(metric, 4, tmp_path, **options))
    # The second time, everything is read.
    assert len(measured) == 3
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        "images-4.safetensors", "pages-4.safetensors", "training.safetensors",
        "pairs/recipe.json",
        "pairs/paper-0.safetensors", "pairs/own-0.safetensors", "pairs/pages-0.safetensors",
    }  # fmt: skip
    assert recipes[0] == recipes[1] == recipes[2]
    assert (recipes[0].steps, recipes[0].seed, recipes[0].data.images) == (2, 4, 5)
    start = pair_metric().state_dict()
    for name, value in metrics[0].state_dict().items():
        for metric in metrics[1:]:
            assert torch.equal(value, metric.state_dict()[name]), name
        if name.startswith(("backbone.", "comparison.code.")):
            assert torch.equal(value, start[name]), name
    assert not torch.equal(metrics[0].head.layers.direct.weight, start["head.layers.direct.weight"])


# --- runs that are cut off ------------------------------------------------------------


@pytest.mark.parametrize("steps_done", [0, 1, 2])
def test_a_run_that_was_cut_off_ends_as_an_uninterrupted_one(
    made, tmp_path, monkeypatch, steps_done
):
    monkeypatch.setattr(train, "STEPS_KEPT", 1)
    loss, calls = train.additive_loss, []

    def interrupted(*arguments, **options):
        if len(calls) == steps_done:
            raise KeyboardInterrupt
        calls.append(1)
        return loss(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "additive_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.pretrain(STEPS, seed=3, folder=tmp_path)
    left = []
    monkeypatch.setattr(train, "additive_loss", lambda *a, **o: left.append(1) or loss(*a, **o))
    model, recipe_again = train.pretrain(STEPS, seed=3, folder=tmp_path)
    # The steps that were done before are not done again.
    assert len(left) == STEPS + train.BALANCING - steps_done
    expected, recipe_made = made
    assert recipe_again == recipe_made
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_checkpoints_of_another_plan_are_refused(small, tmp_path):
    train.pretrain(STEPS, seed=3, folder=tmp_path)
    for steps, seed in ((STEPS + 2, 3), (STEPS, 4)):
        with pytest.raises(CheckpointError):
            train.pretrain(steps, seed=seed, folder=tmp_path)
