"""Families of random changes to train on."""

from __future__ import annotations

import pytest
import torch
from train_helpers import levels, natural, seeded

from dps_train.distortions.distortion import quantize
from dps_train.distortions.families import (
    COMPOSED,
    FAINT_NOISE,
    FAMILY,
    FAMILY_SIZE,
    GRADED,
    UNRELATED,
    composed_pairs,
    draw_family,
    graded_pairs,
)
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.distortions.random_changes import INVISIBLE, Draw

COUNT = 40


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return levels(COUNT, 32, 32, 11)


@pytest.fixture(scope="module")
def family(images) -> list[Draw]:
    return draw_family(images, seeded(5))


@pytest.fixture(scope="module")
def natural_family() -> list[Draw]:
    """Draws on images in which nearly every change is visible."""
    return draw_family(natural(COUNT, 32, 32), seeded(5))


def kinds() -> list[str]:
    """The kind of each family member."""
    return [kind for kind, count in FAMILY for _ in range(count)]


def members(family: list[Draw], *names: str) -> list[Draw]:
    return [draw for draw, kind in zip(family, kinds(), strict=True) if kind in names]


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


def test_how_many_distortions_each_kind_shows(natural_family):
    most = {
        "graded": [1, 1],
        "in range": [1],
        "two": [1, 1, 2, 2],
        "three": [3],
        "other": [0, 0],
        "another image": [0],
        "faint noise": [0],
    }
    numbers = iter(natural_family)
    for kind, count in FAMILY:
        assert count == len(most[kind])
        for step in range(count):
            draw = next(numbers)
            shown = (draw.amounts > 0).sum(dim=1)
            assert torch.all(shown <= most[kind][step]), kind
            # The faintest ones change no pixel, and then they are none.
            assert (shown == most[kind][step]).float().mean() > 0.6, kind
            if kind == "other":
                assert (draw.other > 0).float().mean() > 0.6
            else:
                assert torch.all((draw.other > 0) == (kind == "another image")), kind


def test_what_changes_no_pixel_is_no_amount(natural_family):
    pictures = natural(COUNT, 32, 32)
    for draw in members(natural_family, "graded", "in range"):
        unchanged = torch.all((draw.images == pictures).flatten(1), dim=1)
        # Rounding to levels loses less than half a level, where amounts count little.
        assert torch.all(draw.amounts[unchanged] < 0.5)
        assert torch.all(draw.amounts[~unchanged].amax(dim=1) > 0)


def test_what_can_hardly_be_seen_counts_less():
    # A hue turn changes a gray image by nothing at all, and one of little color by little.
    gray = torch.full((400, 3, 24, 24), 0.5)
    gray[200:, 0] += 4 * INVISIBLE
    hue = NAMES.index("color")
    for draw in members(draw_family(gray, seeded(1)), "in range"):
        assert draw.amounts[:200, hue].count_nonzero() == 0
        turned = draw.amounts[200:, hue]
        turned = turned[turned > 0]
        assert len(turned) > 10
        # The farthest turn changes each channel by 4 times the difference that halves an amount.
        farthest = DISTORTIONS[hue].amount(torch.tensor([[0.5]])) * 4 / (4 + 1)
        assert torch.all(turned < farthest + 1e-4)


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


def test_graded_pairs_are_more_of_one_change(natural_family):
    assert len(set(GRADED)) == len(GRADED)
    assert {kinds()[stronger] for _, stronger in GRADED} == {"graded", "other"}
    for weaker, stronger in GRADED:
        assert kinds()[weaker] == kinds()[stronger]
        less, more = natural_family[weaker], natural_family[stronger]
        assert torch.all(less.amounts <= more.amounts)
        assert torch.equal(less.other, more.other)
        if kinds()[weaker] == "graded":
            assert torch.any(less.amounts < more.amounts)
            continue
        near, far = (
            (draw.images - natural(COUNT, 32, 32)).square().mean(dim=(1, 2, 3))
            for draw in (less, more)
        )
        # An object that moves over a picture may fit it better for a moment.
        assert (near <= far).float().mean() > 0.9


def test_composed_pairs_are_one_change_and_two(natural_family):
    numbers = [i for i, kind in enumerate(kinds()) if kind == "two"]
    expected = set()
    for one, two, one_two, two_one in zip(*(numbers[i::4] for i in range(4)), strict=True):
        total = natural_family[one].amounts + natural_family[two].amounts
        # A change that follows another one may be slightly less visible.
        for both in (one_two, two_one):
            torch.testing.assert_close(natural_family[both].amounts, total, rtol=0, atol=0.1)
        for alone, both in ((one, one_two), (two, two_one)):
            assert torch.all(natural_family[alone].amounts <= natural_family[both].amounts)
        expected |= {(one, one_two), (two, one_two), (one, two_one), (two, two_one)}
    assert set(COMPOSED) == expected
    assert len(COMPOSED) == len(expected)


def test_families_of_other_kinds(images):
    wanted = (("other", 2), ("two", 4), ("in range", 1), ("graded", 2))
    assert graded_pairs(wanted) == ((0, 1), (7, 8))
    assert set(composed_pairs(wanted)) == {(2, 4), (3, 4), (2, 5), (3, 5)}
    drawn = draw_family(images, seeded(), wanted)
    assert len(drawn) == 9
    assert torch.all(drawn[7].amounts <= drawn[8].amounts)


def test_two_in_turn_are_one_applied_to_the_other():
    # Darkening multiplies, so that it stays visible in pixels that are darkened otherwise.
    images = quantize(torch.rand(200, 3, 24, 24, generator=seeded(1)) * 0.5 + 0.25)
    family = draw_family(images, seeded(2))
    start = kinds().index("two")
    one, two, one_two, two_one = family[start : start + 4]
    dark = NAMES.index("darken")
    for alone, other, both in ((one, two, one_two), (two, one, two_one)):
        rows = other.amounts[:, dark] > 0
        assert rows.sum() > 5
        factor = other.images[rows].sum(dim=(1, 2, 3)) / images[rows].sum(dim=(1, 2, 3))
        expected = alone.images[rows] * factor[:, None, None, None]
        # The first is rounded to levels before it is shown, but not before the second is applied.
        assert (both.images[rows] - expected).abs().max() <= 1.5 / 255


def test_other_changes_are_all_other(natural_family):
    for draw in members(natural_family, "other"):
        assert torch.all(draw.other == 1)


def test_faint_noise_is_faint(family, images):
    (noisy,) = members(family, "faint noise")
    difference = (noisy.images - images).abs()
    assert 0 < difference.max() <= FAINT_NOISE + 1e-4
