"""Training of the head of size and presence: it learns, follows its seed, and adapts."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from train_helpers import channel_metric, photos

from dps_train.distortions.kinds import KIND_NAMES
from dps_train.fit.checkpoints import Checkpoint, CheckpointError
from dps_train.fit.presence import fit as fitting
from dps_train.fit.presence import training
from dps_train.fit.presence.bank import Collection, MeasuredPairs, measured_pairs
from dps_train.fit.presence.fit import fit_presence
from dps_train.fit.presence.loss import (
    Weights,
    presence_loss,
    random_contexts,
    read_pairs,
    soft_presences,
)
from dps_train.fit.presence.stored import BankError
from dps_train.fit.presence.training import FEWEST, set_scales, train_presence
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.presence_head import presences

CONTEXTS = random_contexts(torch.Generator().manual_seed(2))
COLLECTIONS = (Collection("paper", 4, 64, paper=True), Collection("own", 3, 64, paper=False))
STEPS = 80

Banks = list[tuple[Collection, MeasuredPairs]]


@pytest.fixture(scope="module")
def images():
    return [image.numpy() for image in photos(4, 90, 110)]


@pytest.fixture(scope="module")
def banks(images) -> Banks:
    metric = channel_metric(32)
    return [(one, measured_pairs(one, metric, images, 1)) for one in COLLECTIONS]


def trained(banks: Banks, *, steps: int = STEPS, seed: int = 0, **options: Any) -> ChangeMetric:
    metric = channel_metric(32)
    train_presence(metric, banks, steps=steps, seed=seed, **options)
    return metric


@pytest.fixture(scope="module")
def well_trained(banks) -> ChangeMetric:
    """Not to be changed."""
    return trained(banks)


def learned(metric: ChangeMetric) -> dict[str, Tensor]:
    """The weights of the layers that are trained."""
    return {
        name: value
        for name, value in metric.state_dict().items()
        if name.startswith(("comparison.cell_head.layers", "head.layers.layers"))
    }


@torch.no_grad()
def loss(metric: ChangeMetric, banks: Banks) -> float:
    return sum(
        float(presence_loss(metric, pairs, collection.members, Weights(), CONTEXTS))
        for collection, pairs in banks
    )


def named(metric: ChangeMetric, banks: Banks) -> float:
    """The share of single changes of the whole image whose largest evidence is their own kind."""
    right = []
    for _, pairs in banks:
        with torch.no_grad():
            found = read_pairs(metric, pairs).reading.evidence.argmax(dim=1)
        alone = (pairs.present.sum(dim=1) == 1) & (pairs.local == 0)
        right.append((pairs.present.argmax(dim=1) == found)[alone].float())
    return float(torch.cat(right).mean())


def test_it_learns_what_it_is_shown(banks, well_trained):
    short, longer = trained(banks, steps=1), well_trained
    assert loss(longer, banks) < 0.7 * loss(short, banks)
    assert named(longer, banks) > max(0.7, named(short, banks))


def test_it_trains_the_head_alone(banks):
    before, after = channel_metric(32), trained(banks, steps=2)
    for part in ("backbone", "comparison.code", "preprocess"):
        one, other = (metric.get_submodule(part).state_dict() for metric in (before, after))
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert all(
        not torch.equal(value, learned(after)[name]) for name, value in learned(before).items()
    )


def test_equal_seeds_give_equal_heads(banks):
    torch.rand(3)
    first, again, other = (trained(banks, steps=2, seed=seed) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        assert torch.isfinite(value).all(), name
    assert any(not torch.equal(value, learned(other)[n]) for n, value in learned(first).items())


def test_a_training_that_was_cut_off_continues(banks, tmp_path, monkeypatch):
    steps, kept = 6, 2
    whole = trained(banks, steps=steps)
    monkeypatch.setattr(training, "KEPT", kept)
    checkpoint = Checkpoint(tmp_path / "training.safetensors", {"steps": steps})
    done: list[int] = []
    learn = training.presence_loss

    def cut(*arguments):
        if len(done) == (kept + 1) * len(banks):
            raise KeyboardInterrupt
        done.append(1)
        return learn(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "presence_loss", cut)
        with pytest.raises(KeyboardInterrupt):
            trained(banks, steps=steps, checkpoint=checkpoint)
    # From the checkpoint on, then after the last step.
    for left in (steps - kept, 0):
        done.clear()
        monkeypatch.setattr(
            training, "presence_loss", lambda *pairs: (done.append(1), learn(*pairs))[1]
        )
        metric = trained(banks, steps=steps, checkpoint=checkpoint)
        assert len(done) == left * len(banks)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, metric.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="steps 6 instead of 7"):
        trained(banks, steps=7, checkpoint=Checkpoint(checkpoint.path, {"steps": 7}))


def test_weights_are_rounded_as_files_store_them(banks):
    metric = trained(banks, steps=2)
    for part in (metric.comparison.cell_head, metric.head.layers):
        for parameter in part.parameters():
            assert torch.equal(parameter, parameter.half().float())


def test_adapting_continues_from_the_head_that_is_there(banks, well_trained):
    metric = copy.deepcopy(well_trained)
    state = {name: value.clone() for name, value in metric.state_dict().items()}
    before, weights = loss(metric, banks), {k: v.clone() for k, v in learned(metric).items()}
    train_presence(metric, banks, steps=20, seed=3, adapt=True)
    for name, value in metric.state_dict().items():
        if name.endswith(("scale", "mean", "std")):
            assert torch.equal(value, state[name]), name
    moved = [(value - weights[name]).abs().max() for name, value in learned(metric).items()]
    # Twenty steps of AdamW at a rate of at most 3e-4, and the rounding of weights below 4.
    assert 0 < max(moved) < 20 * 3e-4 * 2 + 2e-3
    assert loss(metric, banks) < before


def test_amounts_of_reference_changes_are_1(banks):
    (paper, pairs), _ = banks
    blur, noise = KIND_NAMES.index("blur"), KIND_NAMES.index("noise")
    rows = torch.arange(FEWEST + 1)
    present = torch.zeros(len(rows), len(KIND_NAMES))
    present[:, blur] = 1
    shown = dataclasses.replace(
        pairs.rows(rows),
        present=present,
        local=torch.zeros(len(rows)),
        visible=torch.ones(len(rows)),
    )
    metric = channel_metric(32)
    before = metric.head.scale.clone()
    set_scales(metric, [(paper, shown)])
    with torch.no_grad():
        sizes = read_pairs(metric, shown).size
    assert float(metric.head.scale[blur] * sizes.median()) == pytest.approx(1, rel=1e-5)
    # Kinds that too few pairs show keep their scale.
    assert metric.head.scale[noise] == before[noise]


def test_the_loss_follows_the_labels(banks, well_trained):
    metric = well_trained
    for collection, pairs in banks:
        turned = dataclasses.replace(pairs, directions=-pairs.directions)
        shuffled = dataclasses.replace(pairs, present=pairs.present.roll(1, dims=1))
        for wrong in (turned, shuffled):
            with torch.no_grad():
                right_loss, wrong_loss = (
                    presence_loss(metric, one, collection.members, Weights(), CONTEXTS)
                    for one in (pairs, wrong)
                )
            assert right_loss < wrong_loss


def test_contexts_are_importances_of_all_kinds():
    assert CONTEXTS.shape[1] == len(KIND_NAMES)
    assert torch.all(CONTEXTS > 0)
    torch.testing.assert_close(CONTEXTS.mean(dim=1), torch.ones(len(CONTEXTS)))
    assert CONTEXTS.log().std() > 0.8


def test_soft_presences_are_about_presences_and_have_a_slope():
    evidence = torch.linspace(-6, 6, 13)[:, None].repeat(1, len(KIND_NAMES))
    evidence[:, 1] = 5.0
    evidence.requires_grad_()
    soft = soft_presences(evidence)
    hard = presences(torch.sigmoid(evidence))
    assert (soft - hard).abs().mean() < 0.06
    (slope,) = torch.autograd.grad(soft.sum(), evidence)
    assert torch.all(slope[:10, 0] > 0)


@torch.no_grad()
def test_to_miss_a_kind_costs_more_where_it_is_important(banks, well_trained):
    collection, pairs = banks[0]
    blur = KIND_NAMES.index("blur")
    rows = pairs.present[:, blur] > 0
    hidden = dataclasses.replace(pairs, present=pairs.present.clone())
    hidden.present[rows, blur] = 0
    contexts = torch.full((1, len(KIND_NAMES)), 0.01)
    costs = []
    for importance in (0.01, 10.0):
        contexts[0, blur] = importance
        only = Weights(0, 0, 0, 0, 0, 0, 0, 0, contexts=1.0, order_in_contexts=0)
        costs.append(
            float(presence_loss(well_trained, hidden, collection.members, only, contexts))
            - float(presence_loss(well_trained, pairs, collection.members, only, contexts))
        )
    assert costs[1] > costs[0]


def test_every_layer_has_a_gradient(banks):
    metric = channel_metric(32)
    for collection, pairs in banks:
        presence_loss(metric, pairs, collection.members, Weights(), CONTEXTS).backward()
    for part in (metric.comparison.cell_head, metric.head.layers):
        for name, parameter in part.named_parameters():
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.count_nonzero(), name


def test_a_whole_training_keeps_its_pairs(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "OWN_SIDE", 64)
    metrics = [channel_metric(32) for _ in range(3)]
    notes: list[str] = []
    options = {"pairs": 20, "seed": 2, "epochs": 2, "note": notes.append}
    fit_presence(metrics[0], images, **options)
    for metric in metrics[1:]:
        fit_presence(metric, images, **options, folder=tmp_path / "pairs")
    for one, other in itertools.pairwise(metrics):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    names = sorted(path.name for path in (tmp_path / "pairs").iterdir())
    assert names == ["own-0.safetensors", "paper-0.safetensors", "recipe.json"]
    with pytest.raises(BankError, match="seed"):
        fit_presence(channel_metric(32), images, pairs=20, seed=3, folder=tmp_path / "pairs")
