"""Heads: amounts that are 0 for equal images, and distances linear in importances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_helpers import seeded

from dps_train.contexts import PAPER_AMOUNTS
from dps_train.distortions.amount_law import amount_of_strength
from dps_train.model.heads import (
    FLOOR,
    OTHER_KNEE,
    PairHead,
    ScalarHead,
    uniform_distance,
    visibility,
)

CHANNELS = 12
CODE = 11


def channel_z(count: int, seed: int = 0) -> torch.Tensor:
    """Channel distances over many orders of magnitude."""
    return torch.exp(3 * torch.randn(count, CHANNELS, generator=seeded(seed)) - 6)


def pair_z(count: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Unadapted distances over many orders of magnitude, each with a code of any sign."""
    total = scale * torch.exp(3 * torch.randn(count, 1, generator=seeded(seed)) - 3)
    return torch.cat([total, 3 * torch.randn(count, CODE, generator=seeded(seed + 1))], dim=1)


@pytest.fixture(scope="module")
def head() -> PairHead:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return PairHead(CODE, PAPER_AMOUNTS).eval()


def test_uniform_distance_is_the_sum():
    assert uniform_distance(torch.tensor([[1.0, 2.0], [0.0, 0.5]])).tolist() == [3.0, 0.5]
    assert uniform_distance(channel_z(6).reshape(2, 3, CHANNELS)).shape == (2, 3)


def test_visibility_and_log_amount_in_closed_form():
    threshold, reference = torch.tensor(0.5), torch.tensor(1.5)
    total = torch.tensor([0.0, 0.5, 1.5, 1e9])
    seen = visibility(total, threshold)
    torch.testing.assert_close(seen, torch.tensor([0.0, 0.5, 0.75, 1.0]))
    amount = amount_of_strength(total[:3], threshold, reference)
    torch.testing.assert_close(amount, torch.tensor([0.0, math.log(2) / math.log(4), 1.0]))
    assert seen[0] == amount[0] == 0


@torch.no_grad()
def test_no_difference_is_exactly_0(head):
    head.set_importances(dict.fromkeys(PAPER_AMOUNTS, 1.0))
    # Whatever the code may say of two images with equal features.
    zero = pair_z(3, scale=0.0)
    assert head.total(zero).count_nonzero() == 0
    assert head.amounts(zero).count_nonzero() == 0
    assert head(zero).count_nonzero() == 0


@given(st.integers(0, 2**32), st.floats(1e-30, 1e10))
@torch.no_grad()
def test_amounts_are_finite_and_never_negative(head, seed, scale):
    amounts = head.amounts(pair_z(4, seed, scale))
    assert amounts.shape == (4, len(PAPER_AMOUNTS))
    assert torch.isfinite(amounts).all()
    assert torch.all(amounts >= 0)


@torch.no_grad()
def test_some_amounts_are_above_0(head):
    # Or else the properties here would hold of a head that is always 0.
    amounts = head.amounts(pair_z(200))
    assert torch.all((amounts > 0).any(dim=1))
    assert (amounts > 0).any(dim=0).sum() >= 4


@given(st.floats(1e-6, 1e3))
@torch.no_grad()
def test_any_difference_shows_in_other(head, scale):
    assert torch.all(head.amounts(pair_z(5, scale=scale))[:, -1] > 0)


# Importances are 0 or at least 1e-9: doubling a subnormal product would round.
@given(st.lists(st.just(0.0) | st.floats(1e-9, 100), min_size=7, max_size=7), st.integers(0, 2**32))
@torch.no_grad()
def test_the_distance_is_importances_times_amounts(head, values, seed):
    z = pair_z(5, seed)
    head.set_importances(dict(zip(PAPER_AMOUNTS, values, strict=True)))
    distances = head(z)
    expected = (head.amounts(z).double() * head.importances.double()).sum(dim=1)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-6, atol=1e-30)
    head.set_importances(
        {name: 2 * value for name, value in zip(PAPER_AMOUNTS, values, strict=True)}
    )
    assert torch.equal(head(z), 2 * distances)


@torch.no_grad()
def test_each_importance_counts_its_own_amount(head):
    z = pair_z(8)
    for number, name in enumerate(PAPER_AMOUNTS):
        head.set_importances({other: float(other == name) for other in PAPER_AMOUNTS})
        assert torch.equal(head(z), head.amounts(z)[:, number])


def test_importances_are_taken_by_name_and_missing_ones_are_0(head):
    values = {name: float(number) for number, name in enumerate(PAPER_AMOUNTS)}
    head.set_importances(dict(reversed(values.items())))
    assert head.importances.tolist() == list(values.values())
    head.set_importances({"blur": 3.0})
    assert head.importances.tolist() == [3.0 * (name == "blur") for name in PAPER_AMOUNTS]


@torch.no_grad()
def test_each_pair_by_itself(head):
    head.set_importances(dict.fromkeys(PAPER_AMOUNTS, 1.0))
    z = pair_z(9)
    before = z.clone()
    together = head(z)
    assert torch.equal(z, before)
    alone = torch.cat([head(row[None]) for row in z])
    # A matrix product may sum in another order for another number of rows.
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_leading_dimensions_are_kept(head):
    z = pair_z(6)
    shaped = z.reshape(2, 3, -1)
    assert head.total(shaped).shape == head(shaped).shape == (2, 3)
    torch.testing.assert_close(head.amounts(shaped).flatten(0, 1), head.amounts(z))


@torch.no_grad()
def test_evidence_is_cut_off_at_0_and_fades_where_features_barely_differ():
    head = PairHead(CODE, PAPER_AMOUNTS)
    head.layers[-1].weight.zero_()
    head.layers[-1].bias.copy_(torch.tensor([2.0, -1.0, 0.0, 0.5, 1.0, 4.0, -3.0]))
    threshold = float(head.threshold)
    z = pair_z(3)
    z[:, 0] = torch.tensor([0.0, threshold, 3 * threshold])
    seen = torch.tensor([0.0, 0.5, 0.75])
    evidence = torch.tensor([2.0, 0.0, 0.0, 0.5, 1.0, 4.0, 0.0])
    expected = seen[:, None] * evidence
    expected[:, -1] += FLOOR * amount_of_strength(z[:, 0], head.threshold, head.reference)
    torch.testing.assert_close(head.amounts(z), expected)
    torch.testing.assert_close(head.visible(z)[:, 0], seen)


@torch.no_grad()
def test_other_is_a_share_of_the_unadapted_distance():
    head = PairHead(CODE, PAPER_AMOUNTS)
    head.layers[-1].weight.zero_()
    head.layers[-1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]))
    z = pair_z(4)
    z[:, 0] = torch.tensor([0.0, 0.1, 1.0, 10.0])
    other = head.evidence(z)[:, -1]
    expected = 0.5 * torch.log1p(z[:, 0] / OTHER_KNEE) / math.log1p(1 / OTHER_KNEE)
    torch.testing.assert_close(other, expected)
    assert other[2] == 0.5
    shares = torch.rand(4, len(PAPER_AMOUNTS))
    amounts = head.amounts_of(shares, z)
    assert torch.equal(amounts[:, :-1], shares[:, :-1])
    torch.testing.assert_close(amounts[:, -1], shares[:, -1] * 2 * other)


@torch.no_grad()
def test_scalars_weigh_channel_distances():
    head = ScalarHead(CHANNELS)
    z = channel_z(5)
    torch.testing.assert_close(head(z), uniform_distance(z))
    head.weights.copy_(torch.linspace(-1, 2, CHANNELS))
    head.clamp()
    assert head.weights.min() == 0
    torch.testing.assert_close(head(z), (z * head.weights).sum(dim=1))
    assert head.names == ("other",)
    assert head.amounts(z).shape == (5, 1)
    assert torch.equal(head.total(z), uniform_distance(z))


@torch.no_grad()
def test_the_total_is_the_unadapted_distance(head):
    z = pair_z(4)
    assert torch.equal(head.total(z), z[:, 0])


def test_only_a_head_of_several_amounts_names_kinds(head):
    assert head.names_kinds
    assert not ScalarHead(CHANNELS).names_kinds
