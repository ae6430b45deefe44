"""The whole metric on uint8 images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import (
    channel_metric,
    encoder_metric,
    mean_over_image,
    pair_metric,
    photos,
    scalar_metric,
)

from dps_train.contexts import AMOUNTS
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.half_planes import CELL
from dps_train.model.metric import MAP_CELLS, Metric, Preprocess, shares
from dps_train.model.resizing import resize

# Sums of some hundred float32 features in another order, enlarged by logarithms of faint energies
# and by importances up to 128.
CLOSE = {"rtol": 1e-3, "atol": 1e-3}

METRICS = {
    "scalars, resized": lambda: scalar_metric(32),
    "scalars, native": lambda: scalar_metric(None),
    "encoder": encoder_metric,
    "changes, channels": lambda: channel_metric(32),
    "changes, encoder": pair_metric,
}


@pytest.fixture(scope="module", params=METRICS)
def metric(request) -> Metric:
    return METRICS[request.param]()


def map_shape(metric: Metric, height: int, width: int) -> tuple[int, int]:
    """The places of a map: a fixed grid, or 8 x 8 in each cell."""
    if isinstance(metric, ChangeMetric):
        return 8 * -(-height // CELL), 8 * -(-width // CELL)
    return MAP_CELLS, MAP_CELLS


sizes = st.tuples(st.integers(1, 3), st.integers(8, 70), st.integers(8, 70), st.integers(0, 999))


@settings(max_examples=4)
@given(sizes)
@torch.no_grad()
def test_the_marks_of_a_metric(metric, size):
    first, second = photos(*size), photos(*size[:3], size[3] + 1000)
    before = first.clone(), second.clone()
    distance, amounts, places = metric(first, second)
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])
    count = size[0]
    assert distance.shape == (count,)
    assert amounts.shape == (count, len(metric.head.names))
    assert places.shape == (count, *map_shape(metric, *size[1:3]))
    for values in (distance, amounts, places):
        assert values.dtype == torch.float32
        assert torch.all(values >= 0)
        assert torch.isfinite(values).all()
    assert torch.all(distance > 0)
    torch.testing.assert_close(amounts @ metric.head.importances, distance, rtol=1e-6, atol=0)
    mean = mean_over_image(metric, places, *size[1:3])
    torch.testing.assert_close(mean, distance, rtol=1e-5, atol=0)
    backwards, _, _ = metric(second, first)
    torch.testing.assert_close(backwards, distance, **CLOSE)
    for values in metric(first, first.clone()):
        assert values.count_nonzero() == 0


@torch.no_grad()
def test_batch_size_and_neighbours_do_not_matter(metric):
    first, second = photos(3, 50, 41), photos(3, 50, 41, 9)
    together = metric(first, second)
    alone = [metric(first[i : i + 1], second[i : i + 1]) for i in range(3)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(parts), whole, **CLOSE)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(metric(first[order], second[order])[0], together[0][order], **CLOSE)


@pytest.mark.parametrize("count", [1, 3])
@torch.no_grad()
def test_one_reference_with_many_is_as_many_pairs(metric, count):
    reference, candidates = photos(1, 33, 47), photos(count, 33, 47, 5)
    shared = metric(reference, candidates)
    paired = metric(reference.repeat(count, 1, 1, 1), candidates)
    for one, other in zip(shared, paired, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, **CLOSE)


@torch.no_grad()
def test_one_reference_that_is_among_the_candidates(metric):
    candidates = photos(5, 40, 40)
    distance, _, _ = metric(candidates[3:4], candidates)
    # A convolution of one image may round otherwise than one of five.
    assert distance[3] <= 1e-12
    assert (distance > 1e-6).sum() == 4


@torch.no_grad()
def test_one_level_of_one_channel_is_seen_and_hardly_counts(metric):
    first = photos(1, 32, 32).clamp(max=254)
    second = first.clone()
    second[0, 16, 16, 1] += 1
    tiny, large = metric(first, second)[0], metric(first, photos(1, 32, 32, 5))[0]
    assert 0 < tiny < large / 5


@torch.no_grad()
def test_twice_the_importances_are_twice_the_distance():
    metric = pair_metric()
    first, second = photos(4, 30, 30), photos(4, 30, 30, 8)
    distance, amounts, places = metric(first, second)
    metric.head.importances.mul_(2)
    again, same_amounts, twice = metric(first, second)
    assert torch.equal(again, 2 * distance)
    assert torch.equal(same_amounts, amounts)
    torch.testing.assert_close(twice, 2 * places, rtol=1e-6, atol=0)


@torch.no_grad()
def test_with_no_importance_nothing_is_far():
    metric = pair_metric()
    metric.head.set_importances(dict.fromkeys(AMOUNTS, 0.0))
    distance, amounts, places = metric(photos(2, 30, 30), photos(2, 30, 30, 8))
    assert distance.count_nonzero() == 0
    assert places.count_nonzero() == 0
    assert torch.isfinite(places).all()
    assert (amounts > 0).any()


@pytest.mark.parametrize("comparison", ["sort", "spatial+sort", "mean", "spatial+mean+layout"])
@torch.no_grad()
def test_other_comparisons(comparison):
    metric = scalar_metric(32, comparison)
    first, second = photos(3, 40, 30), photos(3, 40, 30, 8)
    distance, _, places = metric(first, second)
    torch.testing.assert_close(places.mean(dim=(1, 2)), distance, rtol=1e-5, atol=0)
    torch.testing.assert_close(metric(second, first)[0], distance, **CLOSE)
    assert metric(first, first)[0].count_nonzero() == 0


@pytest.mark.parametrize("made", [lambda: scalar_metric(None), pair_metric])
@torch.no_grad()
def test_the_map_shows_where_the_images_differ(made):
    metric = made()
    first = photos(1, 128, 128)
    second = first.clone()
    second[:, 96:, :32] = 255 - second[:, 96:, :32]
    _, _, places = metric(first, second)
    cells = places.shape[1]
    row, column = divmod(int(places[0].argmax()), cells)
    assert row >= cells // 2
    assert column < cells // 2
    changed, opposite = places[0, cells // 2 :, : cells // 2], places[0, : cells // 2, cells // 2 :]
    assert opposite.mean() < changed.mean() / 10


@torch.no_grad()
def test_reading_needs_no_context(metric):
    first, second = photos(3, 50, 41), photos(3, 50, 41, 9)
    distance, amounts, places = metric(first, second)
    read, where = metric.read(first, second)
    assert torch.equal(read, amounts)
    mean = mean_over_image(metric, where, 50, 41)
    torch.testing.assert_close(mean, torch.ones(3), rtol=1e-5, atol=0)
    torch.testing.assert_close(where * distance[:, None, None], places, rtol=1e-6, atol=0)


def test_shares_have_a_mean_of_1():
    places = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert shares(places).tolist() == [[[1.0, 3.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]
    assert shares(4 * places[:1]).tolist() == shares(places[:1]).tolist()


@pytest.mark.parametrize(
    ("references", "candidates", "expected"),
    [(4, 4, [0, 1, 2, 3]), (1, 3, [0, 0, 0]), (1, 1, [0])],
)
def test_which_reference_belongs_to_which_candidate(references, candidates, expected):
    index = Metric.reference_index(torch.zeros(references, 2, 2, 3), torch.zeros(candidates))
    assert index.tolist() == expected


def test_training_mode_changes_no_result():
    metric = scalar_metric(32)
    first, second = photos(3, 30, 30), photos(3, 30, 30, 8)
    with torch.no_grad():
        before = metric(first, second)[0]
        assert torch.equal(metric.train()(first, second)[0], before)
    assert not metric.backbone.training


# --- preprocessing --------------------------------------------------------------------


def test_preprocess_in_closed_form():
    preprocess = Preprocess(None, mean=(0.0, 0.5, 0.25), std=(1.0, 0.5, 0.25))
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(2, 3, 4, 3)
    planes = preprocess(image)
    assert planes.shape == (2, 3, 3, 4)
    torch.testing.assert_close(planes[0, :, 0, 0], torch.tensor([0.0, 1.0, -0.2]))
    floats = image.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(preprocess.normalize(floats), planes)


def test_resize_keeps_flat_images_and_native_sizes():
    flat = torch.full((1, 3, 50, 20), 0.4)
    torch.testing.assert_close(resize(flat, 16), torch.full((1, 3, 16, 16), 0.4))
    assert resize(flat, None) is flat
    # Halving by an antialiased triangle: weights 1, 3, 3, 1 of 8 away from the edges.
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    expected = torch.tensor([0.0, 1 / 8, 7 / 8, 1.0])
    torch.testing.assert_close(resize(step, 4)[0, 0, 0], expected)
