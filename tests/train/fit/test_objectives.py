"""The objectives: their values and gradients, and the inverted distance that `judge` corrects."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from train_helpers import seeded

from dps_infer.errors import UsageError
from dps_train.fit.objectives import (
    BETAS,
    Judge,
    Pairwise,
    agreement,
    exchange,
    make_objective,
    rate_factor,
)
from dps_train.fit.settings import OBJECTIVES

EVERY = torch.ones(2, 3, dtype=torch.bool)


def triplets(contexts: int = 2, count: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.rand(3, contexts, count, generator=seeded(seed)))


# --- either ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_not_counted_does_not_matter(name):
    objective = make_objective(name, 2, seeded())
    first, second, judge = triplets()
    counted = EVERY.clone()
    counted[0, 1] = False
    before = objective(first, second, judge, counted)
    first[0, 1], judge[0, 1] = 9.0, 0.5
    assert objective(first, second, judge, counted) == before
    assert objective(first, second, judge, EVERY) != before
    assert objective(first, second, judge, torch.zeros_like(EVERY)) == 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_contexts_do_not_influence_one_another(name):
    both = make_objective(name, 2, seeded())
    one = make_objective(name, 1, seeded())
    first, second, judge = triplets()
    alone = [
        one(first[row : row + 1], second[row : row + 1], judge[row : row + 1], EVERY[:1])
        for row in range(2)
    ]
    torch.testing.assert_close(both(first, second, judge, EVERY), alone[0] + alone[1])


def test_an_unknown_objective_is_refused():
    with pytest.raises(UsageError, match=r"'hinge'.*pairwise, judge"):
        make_objective("hinge", 1, seeded())


def test_the_schedule_is_the_authors():
    factors = [rate_factor(step, 10) for step in range(10)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_agreement_counts_as_bapps_does():
    first = torch.tensor([[3.0, 1.0, 2.0]])
    second = torch.tensor([[1.0, 2.0, 2.0]])
    judge = torch.tensor([[0.8, 0.1, 0.9]])
    assert agreement(first, second, judge, EVERY[:1]).item() == pytest.approx((0.8 + 0.9 + 0.5) / 3)


def test_exchanging_changes_no_triplet():
    first, second, judge = triplets()
    exchanged = torch.tensor([True, False, True])
    turned = exchange(first, second, judge, exchanged)
    assert torch.equal(turned[0][:, 0], second[:, 0])
    assert torch.equal(turned[0][:, 1], first[:, 1])
    torch.testing.assert_close(agreement(*turned, EVERY), agreement(first, second, judge, EVERY))
    loss = Pairwise(2)
    torch.testing.assert_close(loss(*turned, EVERY), loss(first, second, judge, EVERY))


# --- pairwise -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_pairwise_knows_no_scale(scale):
    first, second, judge = triplets()
    loss = Pairwise(2)
    torch.testing.assert_close(
        loss(scale * first, scale * second, judge, EVERY), loss(first, second, judge, EVERY)
    )


def test_pairwise_pulls_the_closer_one_closer():
    first = torch.tensor([[1.0, 1.0, 1.0]], requires_grad=True)
    second = torch.tensor([[1.0, 1.0, 1.0]], requires_grad=True)
    Pairwise(1)(first, second, torch.tensor([[0.0, 1.0, 0.5]]), EVERY[:1]).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert first.grad[0, 0] > 0 > second.grad[0, 0]
    assert first.grad[0, 1] < 0 < second.grad[0, 1]
    assert first.grad[0, 2] == second.grad[0, 2] == 0


def test_pairwise_does_not_shout_where_nothing_is_seen():
    first, second, _ = triplets()
    first[:, 0], second[:, 0] = 1e-12, 0
    first.requires_grad_()
    Pairwise(2)(first, second, torch.zeros(2, 3), EVERY).backward()
    assert first.grad is not None
    assert first.grad.abs().max() < 1000
    assert torch.isfinite(
        Pairwise(2)(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3), EVERY)
    )


# --- judge ----------------------------------------------------------------------------


def test_judges_are_small_networks_one_a_context():
    judges = Judge(3, seeded())
    with torch.no_grad():
        for parameter in judges.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    first, second = torch.rand(2, 3, 7, generator=seeded(1))
    logits = judges.logits(first, second)
    for row, column in itertools.product(range(3), range(7)):
        a, b = first[row, column], second[row, column]
        values = torch.stack([a, b, a - b, a / (b + 0.1), b / (a + 0.1)])
        for layer, (weight, bias) in enumerate(zip(judges.weights, judges.biases, strict=True)):
            values = values @ weight[row] + bias[row, 0]
            if layer < 2:
                values = torch.where(values > 0, values, 0.2 * values)
        torch.testing.assert_close(logits[row, column], values[0], rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_authors():
    judges = Judge(2, seeded())
    first = torch.tensor([[3.0, 1.0, 4.0], [3.0, 1.0, 4.0]])
    second = torch.tensor([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]])
    # The first context's distances agree in two of three triplets, the second's in one.
    judge = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    logits = judges.logits(first, second)
    answers = F.binary_cross_entropy(torch.sigmoid(logits), judge, reduction="none")
    direct = F.binary_cross_entropy(torch.sigmoid(first - second), judge, reduction="none")
    expected = answers.mean(dim=1).sum() + 10 * direct[1].mean()
    torch.testing.assert_close(judges(first, second, judge, EVERY), expected)
    # A score of 0.5 is not enough, and triplets that are not counted have no influence.
    counted = EVERY.clone()
    counted[0, 0] = False
    expected = answers[0, 1:].mean() + answers[1].mean()
    expected += 10 * (direct[0, 1:].mean() + direct[1].mean())
    torch.testing.assert_close(judges(first, second, judge, counted), expected)


@pytest.mark.parametrize(("sync", "turned"), [(True, True), (False, False)])
def test_the_sync_loss_turns_an_inverted_distance(sync, turned):
    """The failure: a judge that is right because it reads a distance upside down.

    What shows most in the features is what should count least. Without the sync loss the
    judge learns "farther is closer" before the weights can follow, and then holds them.
    """
    objective = Judge(1, seeded(1), sync=sync)
    score, judged = trained(objective)
    assert judged > 0.95
    assert score > 0.9 if turned else score < 0.1


def trained(objective: Judge) -> tuple[float, float]:
    """Train two scalars; return the distances' 2AFC score, and the judge's own, in training."""
    generator = seeded(3)
    kind = torch.rand(2, 400, generator=generator)
    # Channel 0 shows the less disruptive kind, strongly; channel 1 the more disruptive one.
    z = torch.stack([1 - kind, 0.8 * kind], dim=2) + 0.02
    judge = (kind[0] > kind[1]).float()[None]
    weights = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([weights, *objective.parameters()], lr=1e-2, betas=BETAS)
    counted = torch.ones_like(judge, dtype=torch.bool)
    for _ in range(300):
        first, second = z @ weights
        loss = objective(first[None], second[None], judge, counted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            weights.clamp_(min=0)
    first, second = (z @ weights).detach()[:, None]
    logits = objective.logits(first, second).detach()
    right = ((logits > 0) == (judge > 0.5)).float().mean()
    return agreement(first, second, judge, counted).item(), right.item()
