"""The learned comparison: the same whichever image comes first, and fits that find a motion."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import encoder_metric, photos, seeded

from dps_train.model.comparisons import difference_map
from dps_train.model.embedded.embedded_backbone import WIDTHS
from dps_train.model.metric import Metric
from dps_train.model.pair_encoder import (
    CODE,
    FUSION,
    IMAGE_SIZE,
    KEY,
    KEY_CELLS,
    MOTION,
    NAME,
    STATISTICS,
    PairEncoder,
    affine_fit,
)

PARTS = (STATISTICS, FUSION, MOTION, MOTION)

ROUNDING = 1e-6
"""Sums of some hundred float32 features run in another order in another batch."""


@pytest.fixture(scope="module")
def metric() -> Metric:
    return encoder_metric()


@pytest.fixture(scope="module")
def encoder(metric) -> PairEncoder:
    assert isinstance(metric.comparison, PairEncoder)
    return metric.comparison


def maps_of(metric: Metric, count: int, seed: int = 0) -> list[torch.Tensor]:
    """What the encoder takes of images at the working size."""
    images = photos(count, IMAGE_SIZE, IMAGE_SIZE, seed).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return metric.maps(images)


def rows_of(maps: list[torch.Tensor], rows: slice | list[int]) -> list[torch.Tensor]:
    return [layer[rows] for layer in maps]


# --- the code -------------------------------------------------------------------------


@torch.no_grad()
def test_what_it_returns(metric, encoder):
    first, second = maps_of(metric, 3), maps_of(metric, 3, 1)
    assert [layer.shape[1] for layer in first] == [*WIDTHS, KEY]
    z = encoder(first, second)
    assert z.shape == (3, 1 + CODE)
    assert z.dtype == torch.float32
    assert torch.isfinite(z).all()
    # Most of the code says something of the pair.
    assert (z.std(dim=0) > 0).float().mean() > 0.9
    layers = zip(first[:-1], second[:-1], strict=True)
    total = sum((a - b).square().mean(dim=(1, 2, 3)) for a, b in layers)
    torch.testing.assert_close(z[:, 0], total)
    assert encoder.name == NAME


@torch.no_grad()
def test_it_is_exactly_symmetric_and_mutates_nothing(metric, encoder):
    first, second = maps_of(metric, 4), maps_of(metric, 4, 1)
    before = [layer.clone() for layer in (*first, *second)]
    assert torch.equal(encoder(first, second), encoder(second, first))
    for layer, copy in zip((*first, *second), before, strict=True):
        assert torch.equal(layer, copy)


@torch.no_grad()
def test_equal_maps_have_a_total_of_0_and_amounts_of_0(metric, encoder):
    first = maps_of(metric, 4)
    z = encoder(first, [layer.clone() for layer in first])
    assert z[:, 0].count_nonzero() == 0
    assert metric.head.amounts(z).count_nonzero() == 0
    # The code itself is not 0: it is the total that fades everything out.
    assert metric.head.evidence(z).count_nonzero() > 0


@torch.no_grad()
def test_each_pair_by_itself(metric, encoder):
    first, second = maps_of(metric, 7), maps_of(metric, 7, 1)
    together = encoder(first, second)
    alone = [encoder(rows_of(first, [i]), rows_of(second, [i])) for i in range(7)]
    # A code is no distance: its largest number is the scale that rounding goes by.
    within = ROUNDING * float(together.abs().max())
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=within)
    order = [3, 1, 6, 0, 2, 5, 4]
    shuffled = encoder(rows_of(first, order), rows_of(second, order))
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=within)
    amounts = metric.head.amounts(together)
    torch.testing.assert_close(
        metric.head.amounts(torch.cat(alone)), amounts, rtol=ROUNDING, atol=ROUNDING
    )


@torch.no_grad()
def test_one_reference_with_many_is_as_many_pairs(metric, encoder):
    reference, candidates = maps_of(metric, 1), maps_of(metric, 5, 1)
    repeated = rows_of(reference, [0] * 5)
    alone = [encoder(reference, rows_of(candidates, [i])) for i in range(5)]
    together = encoder(repeated, candidates)
    within = ROUNDING * float(together.abs().max())
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=within)


@torch.no_grad()
def test_every_part_of_the_code_sees_a_difference(metric, encoder):
    first = maps_of(metric, 2)
    second = encoder.normalized([layer.roll(2, dims=3) for layer in first[:-1]])
    same, shifted = (encoder(first, other)[:, 1:] for other in (first, second))
    for before, after in zip(same.split(PARTS, dim=1), shifted.split(PARTS, dim=1), strict=True):
        assert (before - after).abs().max() > 0.01


@torch.no_grad()
def test_the_difference_map_is_that_of_all_comparisons(metric, encoder):
    first, second = maps_of(metric, 2), maps_of(metric, 2, 1)
    expected = difference_map(first[:-1], second[:-1], 4)
    assert torch.equal(encoder.difference_map(first, second, 4), expected)


@torch.no_grad()
def test_maps_are_compared_as_they_are_with_keys_beside_them(metric, encoder):
    maps = maps_of(metric, 3)[:-1]
    *layers, keys = encoder.normalized(maps)
    for layer, same in zip(layers, maps, strict=True):
        assert layer is same
    assert keys.shape == (3, KEY, KEY_CELLS**2)
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(3, KEY_CELLS**2), rtol=0, atol=1e-3)


def test_a_different_number_of_layers_is_an_error(metric, encoder):
    maps = maps_of(metric, 1)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        encoder(maps, maps[:3])


def test_everything_in_it_can_be_trained(metric):
    encoder = PairEncoder(batch_norm=True)
    first, second = (encoder.normalized(maps_of(metric, 3, seed)[:-1]) for seed in (0, 1))
    encoder(first, second).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.count_nonzero() > 0, name


def test_gradients_are_finite_where_images_are_equal(metric):
    encoder = PairEncoder(batch_norm=True)
    first = encoder.normalized(maps_of(metric, 3)[:-1])
    encoder(first, first).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


# --- the fit --------------------------------------------------------------------------

GRID = torch.cartesian_prod(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8))

RIDGE = 1e-2
"""The little that keeps a fit sound where all trust is on a line."""


def spread_of(trust: torch.Tensor) -> torch.Tensor:
    """The weighted covariance of the places [2, 2]."""
    share = trust[0] / trust.sum()
    centered = GRID - (share * GRID).sum(dim=0)
    return (share * centered).T @ centered


numbers = st.floats(-1.5, 1.5)


@settings(max_examples=50)
@given(
    st.lists(numbers, min_size=4, max_size=4),
    st.lists(numbers, min_size=2, max_size=2),
    st.integers(0, 2**32),
)
def test_a_known_transformation_is_found(entries, shift, seed):
    matrix, moved = torch.tensor(entries).reshape(2, 2), torch.tensor(shift)
    trust = 0.05 + torch.rand(1, len(GRID), 1, generator=seeded(seed))
    (fit,) = affine_fit(GRID, (GRID @ matrix.T + moved)[None], trust)
    # Noiseless matches give the matrix exactly, but for the ridge, which shrinks it as stated.
    spread = spread_of(trust)
    ridge = spread + RIDGE * torch.eye(2)
    expected = matrix @ spread @ torch.linalg.inv(ridge)
    torch.testing.assert_close(fit[:4].reshape(2, 2) + torch.eye(2), expected, rtol=0, atol=1e-5)
    center = (trust[0] / trust.sum() * GRID).sum(dim=0)
    at_origin = matrix @ center + moved - expected @ center
    torch.testing.assert_close(fit[4:6], at_origin, rtol=0, atol=1e-5)
    assert float(fit[6]) == pytest.approx(float(at_origin.norm()), abs=1.1e-3)
    area = abs(float(torch.linalg.det(expected)))
    assert float(fit[7]) == pytest.approx(math.log(area + 1e-2), abs=1e-3)
    torch.testing.assert_close(fit[8:11], ridge.flatten()[[0, 1, 3]], rtol=0, atol=1e-6)
    assert float(fit[12]) == pytest.approx(float(trust.mean()), abs=1e-6)


def test_places_that_are_not_trusted_do_not_count():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    found = GRID @ turn.T
    trust = torch.ones(1, len(GRID), 1)
    (clean,) = affine_fit(GRID, found[None], trust)
    spoiled = found.clone()
    spoiled[::5] = torch.rand(len(found[::5]), 2, generator=seeded())
    (misled,) = affine_fit(GRID, spoiled[None], trust)
    trust[:, ::5] = 1e-6
    (warned,) = affine_fit(GRID, spoiled[None], trust)
    # Fewer places have another spread, and with it another ridge.
    torch.testing.assert_close(warned[:6], clean[:6], rtol=0, atol=0.01)
    assert (misled[:6] - clean[:6]).abs().max() > 0.05
    misfit = 11
    assert clean[misfit] < 1e-3
    assert warned[misfit] < 1e-3
    assert misled[misfit] > 0.05


@pytest.mark.parametrize("places", [[0], [0, 1], list(range(8))], ids=["one", "two", "line"])
def test_a_fit_stays_finite_where_all_trust_is_on_a_line(places):
    trust = torch.full((1, len(GRID), 1), 1e-9)
    trust[:, places] = 1.0
    trust.requires_grad_()
    fit = affine_fit(GRID, 2 * GRID[None], trust)
    fit.sum().backward()
    assert torch.isfinite(fit).all()
    assert torch.isfinite(trust.grad).all()


def test_each_fit_by_itself():
    found = torch.randn(3, len(GRID), 2, generator=seeded(1))
    trust = torch.rand(3, len(GRID), 1, generator=seeded(2))
    together = affine_fit(GRID, found, trust)
    assert together.shape == (3, 13)
    alone = [affine_fit(GRID, found[i : i + 1], trust[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)
