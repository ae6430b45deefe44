"""Cell statistics, features and the general distance: symmetric, and 0 for equal images only."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dps_train.model.change.change_features import FEATURES, MOTION
from dps_train.model.change.comparison import Change, ChangeComparison
from dps_train.model.change.general_distance import TERMS, general_distance, remaining
from dps_train.model.change.half_planes import extent_of

SIZES = ((64, 64), (24, 31), (130, 97), (201, 333))


@pytest.fixture(scope="module")
def comparison() -> ChangeComparison:
    return ChangeComparison()


def pixels(seed: int, height: int, width: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, height, width, 3)
    return torch.randint(256, shape, generator=generator).to(torch.uint8)


def compare(comparison: ChangeComparison, first: Tensor, second: Tensor) -> Change:
    extent = extent_of(first)
    return comparison(comparison.parts(first, extent), comparison.parts(second, extent), extent)


def size(change: Change) -> Tensor:
    return general_distance(change.terms, torch.zeros(len(change.terms)))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_shapes_follow_the_size(comparison, height, width):
    change = compare(comparison, pixels(0, height, width), pixels(1, height, width))
    rows, columns = -(-height // 64), -(-width // 64)
    assert change.terms.shape == (2, TERMS)
    assert change.features.shape == (2, 2, FEATURES)
    assert change.motion.shape == (2, MOTION)
    assert change.cells.shape == (2, 2, FEATURES, rows, columns)
    assert change.cell_distances.shape == (2, rows, columns)
    assert change.statistics.places.shape == (2, 1, 8 * rows, 8 * columns)
    for part in (change.terms, change.features, change.motion, change.cells):
        assert torch.isfinite(part).all()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_exchanging_the_images_exchanges_the_orders(comparison, height, width):
    first, second = pixels(2, height, width), pixels(3, height, width)
    there, back = compare(comparison, first, second), compare(comparison, second, first)
    torch.testing.assert_close(back.terms, there.terms, rtol=0, atol=0)
    torch.testing.assert_close(back.features, there.features.flip(1), rtol=0, atol=0)
    torch.testing.assert_close(back.cells, there.cells.flip(1), rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equal_images_have_no_distance(comparison, height, width):
    images = pixels(4, height, width)
    change = compare(comparison, images, images)
    assert torch.count_nonzero(size(change)) == 0
    assert torch.count_nonzero(change.cell_distances) == 0
    assert torch.count_nonzero(change.statistics.places) == 0


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_single_level_of_a_single_pixel_counts(comparison, height, width):
    images = pixels(5, height, width)
    changed = images.clone()
    changed[:, height // 2, width // 2, 1] ^= 1
    assert (size(compare(comparison, images, changed)) > 0).all()


def test_more_of_a_change_is_farther(comparison):
    images = pixels(6, 128, 128, 1)
    mixed = [
        (images.float() + share * (255 - images.float())).round().to(torch.uint8)
        for share in (0.02, 0.1, 0.3, 0.8)
    ]
    sizes = [float(size(compare(comparison, images, changed))) for changed in mixed]
    assert sizes == sorted(sizes)


def test_the_remaining_distance_of_nothing_is_exactly_0():
    assert float(remaining(torch.zeros(TERMS))) == 0
