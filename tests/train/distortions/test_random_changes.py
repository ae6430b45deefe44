"""Random changes to train on, and the other kinds of change."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from train_helpers import levels, seeded

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
from dps_train.distortions.other.kinds import HELD_OUT, TRAINED
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.distortions.random_changes import (
    INVISIBLE,
    MOVING,
    Draw,
    draw_moved_windows,
    middle,
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


@pytest.fixture(scope="module")
def natural_family() -> list[Draw]:
    """Of images in which nearly every change can be seen."""
    return draw_family(natural(COUNT, 32, 32), seeded(5))


def natural(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """Smooth colours with some grain, in 256 levels."""
    coarse = torch.rand(count, 3, 6, 6, generator=seeded(3))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return quantize(smooth + 0.03 * torch.randn(smooth.shape, generator=seeded(4)))


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
        # What is lost by rounding to levels is below half a level, where amounts count little.
        assert torch.all(draw.amounts[unchanged] < 0.5)
        assert torch.all(draw.amounts[~unchanged].amax(dim=1) > 0)


def test_what_can_hardly_be_seen_counts_less():
    # A hue turn changes a grey image by nothing at all, and one of little colour by little.
    grey = torch.full((400, 3, 24, 24), 0.5)
    grey[200:, 0] += 4 * INVISIBLE
    hue = NAMES.index("color")
    for draw in members(draw_family(grey, seeded(1)), "in range"):
        assert draw.amounts[:200, hue].count_nonzero() == 0
        turned = draw.amounts[200:, hue]
        turned = turned[turned > 0]
        assert len(turned) > 10
        # The farthest turn changes each channel by 4 times of what halves an amount.
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
        # What moves over a picture may for a moment fit it better.
        assert (near <= far).float().mean() > 0.9


def test_composed_pairs_are_one_change_and_two(natural_family):
    numbers = [i for i, kind in enumerate(kinds()) if kind == "two"]
    expected = set()
    for one, two, one_two, two_one in zip(*(numbers[i::4] for i in range(4)), strict=True):
        total = natural_family[one].amounts + natural_family[two].amounts
        # What follows on another change may be seen a little less.
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
    # Darkening multiplies, so that it can be seen again in what else is darkened.
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


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda d: d.name)
def test_strengths_of_amounts(distortion):
    strengths = strengths_of_amounts(distortion, torch.linspace(0, 1, 11))
    torch.testing.assert_close(strengths[0], torch.tensor(0.0))
    torch.testing.assert_close(strengths[-1], torch.tensor(distortion.limit))
    amounts = distortion.amount(distortion.with_strength(strengths, torch.full((11,), 0.6)))
    steps = amounts.diff()
    # Evenly spaced; angles are rounded to 3e-5 degrees of a threshold of some.
    torch.testing.assert_close(steps, steps.mean().expand(10), rtol=1e-3, atol=1e-5)


# --- moved windows --------------------------------------------------------------------

SIDE, FULL = 64, 96
MARGIN = (FULL - SIDE) // 2


@pytest.fixture(scope="module")
def bright() -> torch.Tensor:
    """Surroundings without any dark pixel."""
    return quantize(0.5 + 0.5 * natural(60, FULL, FULL))


@pytest.fixture(scope="module")
def windows(bright) -> list[Draw]:
    return draw_moved_windows(bright, SIDE, seeded(6))


def strengths_in(draw: Draw) -> torch.Tensor:
    """The strengths [N, K] that have a draw's amounts."""
    columns = []
    for number, distortion in enumerate(DISTORTIONS):
        top = math.log1p(distortion.reference / distortion.threshold)
        columns.append(distortion.threshold * torch.expm1(draw.amounts[:, number] * top))
    return torch.stack(columns, dim=1)


def test_moved_windows_show_one_movement_weaker_and_stronger(windows, bright):
    weaker, stronger = windows
    for draw in windows:
        assert draw.images.shape == (len(bright), 3, SIDE, SIDE)
        assert torch.equal(quantize(draw.images), draw.images)
        assert draw.other.count_nonzero() == 0
        assert draw.amounts.shape == (len(bright), len(NAMES))
        still = [number for number in range(len(NAMES)) if number not in MOVING]
        assert draw.amounts[:, still].count_nonzero() == 0
        assert torch.all((draw.amounts > 0).sum(dim=1) == 1)
    assert torch.equal(weaker.amounts > 0, stronger.amounts > 0)
    assert torch.all(weaker.amounts <= stronger.amounts)
    assert torch.all(stronger.amounts[:, list(MOVING)].amax(dim=0) > 0.5)


def test_moved_windows_are_filled_from_the_surroundings(windows):
    shift = NAMES.index("translate")
    for draw in windows:
        # Farther than the surroundings reach, there is nothing that could move in.
        within = strengths_in(draw)[:, shift] * SIDE <= MARGIN
        assert within.sum() > 40
        assert draw.images[within].min() >= 0.5


def test_a_shift_of_a_window_is_that_of_what_lies_under_it(windows, bright):
    shift = NAMES.index("translate")
    checked = 0
    for draw in windows:
        pixels = strengths_in(draw)[:, shift] * SIDE
        for row in torch.nonzero((pixels > 0.8) & (pixels < MARGIN))[:6, 0].tolist():
            places = bright[row].unfold(1, SIDE, 1).unfold(2, SIDE, 1)
            same = (places == draw.images[row][:, None, None]).flatten(3).all(dim=3).all(dim=0)
            ((down, right),) = same.nonzero().tolist()
            length = math.hypot(down - MARGIN, right - MARGIN)
            # The shift is rounded to whole pixels, across and down.
            assert length == pytest.approx(float(pixels[row]), abs=0.5 * 2**0.5)
            checked += 1
    assert checked >= 4


def test_moved_windows_follow_their_generator_and_mutate_nothing(windows, bright):
    before = bright.clone()
    torch.rand(3)
    again = draw_moved_windows(bright, SIDE, seeded(6))
    assert torch.equal(bright, before)
    for draw, same in zip(windows, again, strict=True):
        assert torch.equal(draw.images, same.images)
        assert torch.equal(draw.amounts, same.amounts)
    other = draw_moved_windows(bright, SIDE, seeded(7))
    assert not torch.equal(other[1].images, windows[1].images)


def test_the_middle():
    images = torch.arange(2 * 3 * 8 * 6).reshape(2, 3, 8, 6)
    assert torch.equal(middle(images, 4), images[:, :, 2:6, 1:5])


# --- other kinds of change ------------------------------------------------------------


def test_trained_and_held_out_kinds_are_different():
    assert TRAINED
    assert HELD_OUT
    assert not set(TRAINED) & set(HELD_OUT)
    assert not set(TRAINED.values()) & set(HELD_OUT.values())


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
        for strength in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]
    assert all(less < more for less, more in itertools.pairwise(steps)), steps


@pytest.mark.parametrize("name", CHANGES)
def test_each_image_has_its_own_strength(name):
    images = natural(3)
    changed = CHANGES[name](images, torch.tensor([0.0, 1.0, 0.0]), seeded())
    moved = (quantize(changed) - images).abs().amax(dim=(1, 2, 3)) > 0
    assert moved.tolist() == [False, True, False]


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_change_draws_does_not_depend_on_its_strength(name):
    # Or else a weaker and a stronger change of a batch would not be the same change.
    images = natural(3)
    states = []
    for strength in (0.0, 0.3, 1.0):
        generator = seeded(8)
        CHANGES[name](images, torch.full((3,), strength), generator)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.parametrize("name", CHANGES)
def test_stronger_is_more_of_the_same(name):
    images = natural(6)

    def changed(strength: float, seed: int) -> torch.Tensor:
        return CHANGES[name](images, torch.full((6,), strength), seeded(seed))

    base = changed(0.6, 8)
    another = (changed(0.6, 9) - base).abs().mean()
    if another == 0:
        # It draws nothing.
        assert torch.equal(changed(0.6, 9), base)
        return
    assert (changed(0.62, 8) - base).abs().mean() < another / 4


def test_ghosts_and_what_is_pasted_come_from_another_image():
    images = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(-1, 3, 16, 16)
    others = images.roll(1, dims=0)
    half = CHANGES["ghost"](images, torch.ones(3), seeded())
    torch.testing.assert_close(half, (images + others) / 2)
    pasted = CHANGES["paste"](images, torch.ones(3), seeded())
    assert torch.all((pasted == images) | (pasted == others))
    covered = (pasted == others).float().mean(dim=(1, 2, 3))
    # A square of half the side, give or take a pixel on each side.
    assert torch.all((covered > (6 / 16) ** 2) & (covered < (10 / 16) ** 2))
