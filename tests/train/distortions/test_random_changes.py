"""Random changes of a window into larger images."""

from __future__ import annotations

import math

import pytest
import torch
from train_helpers import natural, seeded

from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.distortions.random_changes import MOVING, Draw, draw_moved_windows, middle

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
