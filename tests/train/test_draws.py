"""Random changes to train on, and the other kinds of change."""

from __future__ import annotations

import itertools

import pytest
import torch
from train_helpers import levels, seeded

from dps_train.changes import HELD_OUT, TRAINED
from dps_train.distortions import DISTORTIONS, NAMES, quantize
from dps_train.draws import (
    FAMILY,
    FAMILY_SIZE,
    NEARER_FARTHER,
    UNRELATED,
    Draw,
    draw_family,
    strengths_of_amounts,
)

COUNT = 40
CHANGES = {**TRAINED, **HELD_OUT}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return levels(COUNT, 32, 32, 11)


@pytest.fixture(scope="module")
def family(images) -> list[Draw]:
    return draw_family(images, seeded(5))


def kinds() -> list[str]:
    """The kind of each family member."""
    return [kind for kind, count in FAMILY for _ in range(count)]


def members(family: list[Draw], *names: str) -> list[Draw]:
    return [draw for draw, kind in zip(family, kinds(), strict=True) if kind in names]


# --- families -------------------------------------------------------------------------


def test_a_family_has_its_size_and_shapes(family, images):
    assert len(family) == FAMILY_SIZE == len(kinds())
    for draw in family:
        assert draw.images.shape == images.shape
        assert draw.images.dtype == torch.float32
        assert draw.amounts.shape == (COUNT, len(NAMES))
        assert draw.other.shape == (COUNT,)
        assert draw.images.min() >= 0
        assert draw.images.max() <= 1
        assert torch.isfinite(draw.amounts).all()
        assert torch.all(draw.amounts >= 0)
        assert torch.all((draw.other >= 0) & (draw.other <= UNRELATED))


def test_images_are_not_mutated(images):
    before = images.clone()
    draw_family(images, seeded())
    assert torch.equal(images, before)


def test_all_but_faint_noise_has_the_levels_of_files(family):
    for draw, kind in zip(family, kinds(), strict=True):
        assert torch.equal(quantize(draw.images), draw.images) == (kind != "faint noise")


def test_a_family_follows_its_generator(family, images):
    torch.rand(7)
    again = draw_family(images, seeded(5))
    other = draw_family(images, seeded(6))
    for kind, draw, same, different in zip(kinds(), family, again, other, strict=True):
        assert torch.equal(draw.images, same.images)
        assert torch.equal(draw.amounts, same.amounts)
        assert torch.equal(draw.other, same.other)
        # Another image is the next one, whatever the generator says.
        assert torch.equal(draw.images, different.images) == (kind == "another image")


def test_how_many_distortions_each_kind_shows(family):
    expected = {
        "graded": [1, 1],
        "in range": [1],
        "two": [1, 1, 2],
        "three": [3],
        "other": [0, 0],
        "another image": [0],
        "faint noise": [0],
    }
    numbers = iter(family)
    for kind, count in FAMILY:
        for step in range(count):
            draw = next(numbers)
            shown = (draw.amounts > 0).sum(dim=1)
            assert torch.all(shown == expected[kind][step]), kind
            assert torch.all((draw.other > 0) == (kind in ("other", "another image"))), kind


def test_another_image_is_farther_than_any_change_of_one(family, images):
    (draw,) = members(family, "another image")
    assert torch.equal(draw.images, images.roll(1, dims=0))
    assert torch.all(draw.other == UNRELATED)
    assert UNRELATED > 1


def test_draws_in_range_have_amounts_of_the_papers_range(family):
    for draw in members(family, "in range"):
        for number, distortion in enumerate(DISTORTIONS):
            amounts = draw.amounts[:, number]
            amounts = amounts[amounts > 0]
            drawn = distortion.amount(distortion.sample(2000, seeded()))
            assert torch.all(amounts <= drawn.max() * 1.05)


def test_every_distortion_is_drawn(family):
    for name in ("graded", "in range", "two"):
        shown = torch.stack([draw.amounts > 0 for draw in members(family, name)])
        assert torch.all(shown.any(dim=1).any(dim=0)), name


def test_nearer_ones_show_no_more_than_farther_ones(family):
    assert len(set(NEARER_FARTHER)) == len(NEARER_FARTHER) >= 1
    for nearer, farther in NEARER_FARTHER:
        less, more = family[nearer], family[farther]
        assert torch.all(less.amounts <= more.amounts + 1e-6)
        assert torch.all(less.other <= more.other)
        assert torch.any(less.amounts < more.amounts) or torch.any(less.other < more.other)


def test_two_in_turn_are_the_two_alone(family):
    numbers = [i for i, kind in enumerate(kinds()) if kind == "two"]
    for first, second, both in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        total = family[first].amounts + family[second].amounts
        torch.testing.assert_close(family[both].amounts, total)
        assert (first, both) in NEARER_FARTHER
        assert (second, both) in NEARER_FARTHER


def test_both_in_turn_is_the_second_applied_to_the_first():
    # Darken and color cannot be undone, so a mean and a hue tell whether both were applied.
    images = torch.rand(200, 3, 24, 24, generator=seeded(1)) * 0.5 + 0.25
    family = draw_family(quantize(images), seeded(2))
    start = kinds().index("two")
    alone, second, both = family[start : start + 3]
    dark = NAMES.index("darken")
    rows = second.amounts[:, dark] > 0
    factor = 1 - second_strength(second.amounts[rows, dark])
    expected = quantize(alone.images[rows] * factor[:, None, None, None])
    # The first is rounded to levels before it is shown, but not before the second is applied.
    assert rows.sum() > 5
    assert (both.images[rows] - expected).abs().max() <= 1.5 / 255


def second_strength(amounts: torch.Tensor) -> torch.Tensor:
    """The strength of darken that has these amounts."""
    darken = DISTORTIONS[NAMES.index("darken")]
    top = torch.log1p(torch.tensor(darken.reference / darken.threshold))
    return darken.threshold * torch.expm1(amounts * top)


def test_faint_noise_is_faint(family, images):
    (noisy,) = members(family, "faint noise")
    difference = (noisy.images - images).abs()
    assert 0 < difference.max() <= 2.01 / 255


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda d: d.name)
def test_strengths_of_amounts(distortion):
    strengths = strengths_of_amounts(distortion, torch.linspace(0, 1, 11))
    torch.testing.assert_close(strengths[0], torch.tensor(0.0))
    torch.testing.assert_close(strengths[-1], torch.tensor(distortion.limit))
    amounts = distortion.amount(distortion.with_strength(strengths, torch.full((11,), 0.6)))
    steps = amounts.diff()
    # Evenly spaced; angles are rounded to 3e-5 degrees of a threshold of some.
    torch.testing.assert_close(steps, steps.mean().expand(10), rtol=1e-3, atol=1e-5)


# --- other kinds of change ------------------------------------------------------------


def test_trained_and_held_out_kinds_are_different():
    assert TRAINED
    assert HELD_OUT
    assert not set(TRAINED) & set(HELD_OUT)
    assert not set(TRAINED.values()) & set(HELD_OUT.values())


def natural(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """Smooth colours with some grain, in 256 levels."""
    coarse = torch.rand(count, 3, 6, 6, generator=seeded(3))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return quantize(smooth + 0.03 * torch.randn(smooth.shape, generator=seeded(4)))


@pytest.mark.parametrize("name", CHANGES)
def test_no_strength_changes_nothing(name):
    for images in (natural(4), levels(4, 64, 64)):
        same = CHANGES[name](images, torch.zeros(4), seeded())
        assert torch.equal(quantize(same), images)


@pytest.mark.parametrize("name", CHANGES)
def test_changes_stay_in_range_and_mutate_nothing(name):
    images = torch.cat([natural(4), levels(8, 64, 64)])
    strength = torch.linspace(0, 1, 12)
    before = images.clone(), strength.clone()
    changed = CHANGES[name](images, strength, seeded())
    assert torch.equal(images, before[0])
    assert torch.equal(strength, before[1])
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    # Blends of black and white may be off by a rounding.
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    assert changed.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", CHANGES)
def test_changes_follow_their_generator(name):
    images, strength = natural(3), torch.full((3,), 0.6)
    torch.rand(3)
    first = CHANGES[name](images, strength, seeded(8))
    torch.rand(5)
    assert torch.equal(CHANGES[name](images, strength, seeded(8)), first)


@pytest.mark.parametrize("name", CHANGES)
def test_more_strength_is_more_change(name):
    images = natural(6)
    steps = [
        (CHANGES[name](images, torch.full((6,), strength), seeded(8)) - images).square().mean()
        for strength in (0.0, 0.05, 0.3, 0.6, 1.0)
    ]
    assert all(less < more for less, more in itertools.pairwise(steps)), steps


@pytest.mark.parametrize("name", CHANGES)
def test_each_image_has_its_own_strength(name):
    images = natural(3)
    changed = CHANGES[name](images, torch.tensor([0.0, 1.0, 0.0]), seeded())
    moved = (quantize(changed) - images).abs().amax(dim=(1, 2, 3)) > 0
    assert moved.tolist() == [False, True, False]
