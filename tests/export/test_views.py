"""Views: tiles that cover every pixel, and a metric in all its views."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from train_helpers import channel_metric, pair_metric, photos, seeded

from dps_export.views import (
    DEFAULT,
    OUTPUTS,
    TILE,
    TILE_CELLS,
    ViewedMetric,
    aggregate,
    combine,
    cut_tiles,
    tile_side,
    views_info,
)
from dps_infer.compare import bands
from dps_infer.compare.bands import AGGREGATION, BOTH, LAYOUT
from dps_infer.model.view import View
from dps_train.contexts import AMOUNTS
from dps_train.model.description import distortion_infos
from dps_train.model.metric import MAP_CELLS

VIEWS = ("whole", "tiles", "both")

# Sums of some hundred float32 features in another order; the issue's own bound.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}

METRICS = {
    "pair": pair_metric,
    "resized": lambda: channel_metric(32),
    "native": lambda: channel_metric(None),
}

MOTIONS = bands.motions(AMOUNTS, distortion_infos())
IMPORTANCE = torch.tensor([0.5, 2.0, 0.25, 1.0, 4.0, 0.125, 0.75])

SIZES = [(17, 31), (64, 64), (130, 200), (1, 1), (65, 64)]


@pytest.fixture(scope="module", params=METRICS)
def viewed(request) -> ViewedMetric:
    return ViewedMetric(METRICS[request.param]()).eval()


def outputs(viewed: nn.Module, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return dict(zip(OUTPUTS, viewed(*inputs), strict=True))


# --- tiles ----------------------------------------------------------------------------


def starts(length: int, side: int) -> list[int]:
    """Where tiles begin, as `LAYOUT` says."""
    count = math.ceil(length / side)
    room = max(length - side, 0)
    return [number * room // max(count - 1, 1) for number in range(count)]


lengths = st.integers(1, 300)


@settings(max_examples=200)
@given(lengths, lengths, st.sampled_from([64, 8]))
def test_tiles_lie_where_the_layout_says_and_cover_every_pixel(height, width, side):
    # Each pixel holds its position, so that a tile shows where it was cut.
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([rows, columns, torch.zeros_like(rows)], dim=-1)[None]
    tiles = cut_tiles(image, side)
    down, across = starts(height, side), starts(width, side)
    assert tiles.shape == (1, len(down), len(across), 3, side, side)
    tiles = tiles.permute(0, 1, 2, 4, 5, 3)
    steps = torch.arange(side)
    for row, top in enumerate(down):
        expected = (top + steps).clamp(max=height - 1)
        assert torch.equal(tiles[0, row, 0, :, 0, 0], expected)
    for column, left in enumerate(across):
        expected = (left + steps).clamp(max=width - 1)
        assert torch.equal(tiles[0, 0, column, 0, :, 1], expected)
    # Every tile is a product of its rows and its columns.
    assert torch.equal(tiles[..., 0], tiles[:, :, :1, :, :1, 0].expand(tiles.shape[:-1]))
    assert torch.equal(tiles[..., 1], tiles[:, :1, :, :1, :, 1].expand(tiles.shape[:-1]))
    for seen, length in ((tiles[..., 0], height), (tiles[..., 1], width)):
        assert torch.equal(seen.unique(), torch.arange(length))


def test_the_layout_says_what_it_is_tested_for():
    for part in ("ceil(height / tile)", "floor(i * max(height - tile, 0) / max(n - 1, 1))"):
        assert part in LAYOUT


def test_tiles_of_several_images_keep_their_pixels():
    images = photos(3, 100, 150)
    before = images.clone()
    tiles = cut_tiles(images, 64)
    assert tiles.shape == (3, 2, 3, 3, 64, 64)
    assert tiles.dtype == torch.uint8
    assert torch.equal(tiles[2, 1, 2], images[2, 36:, 86:].permute(2, 0, 1))
    assert torch.equal(tiles[1, 0, 1], images[1, :64, 43 : 43 + 64].permute(2, 0, 1))
    assert torch.equal(images, before)


def test_an_image_of_the_tiles_size_is_its_only_tile():
    images = photos(2, 64, 64)
    assert torch.equal(cut_tiles(images, 64)[:, 0, 0], images.permute(0, 3, 1, 2))


# --- rules ----------------------------------------------------------------------------


def test_aggregation_by_hand():
    tiles = torch.zeros(2, 2, 2, 2)
    tiles[0, :, :, 0] = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    tiles[1, 0, 1, 1] = 4.0
    # The cube root of (1 + 27 + 125 + 343) / 4, and of 64 / 4.
    expected = torch.tensor([[124.0 ** (1 / 3), 0.0], [0.0, 16.0 ** (1 / 3)]])
    torch.testing.assert_close(aggregate(tiles), expected)
    everywhere = torch.full((1, 3, 4, 2), 0.7)
    torch.testing.assert_close(aggregate(everywhere), torch.full((1, 2), 0.7))
    assert "cube root of the mean of the cubes" in AGGREGATION


@pytest.mark.parametrize(
    ("whole", "tiles", "both"),
    [
        # Equal views are both.
        ([0.4, 0.2, 0.9], [0.4, 0.2, 0.9], [0.4, 0.2, 0.9]),
        # A shift that tiles take for another image: the whole explains 0.7 of 0.6.
        ([0.7, 0.0, 0.0], [0.0, 0.0, 0.6], [0.7, 0.0, 0.0]),
        # A dark part that the whole takes for something else: tiles explain 0.4 of 0.6.
        ([0.0, 0.0, 0.6], [0.4, 0.0, 0.1], [0.4, 0.0, 0.2]),
        # Noise that only tiles see.
        ([0.0, 0.1, 0.0], [0.0, 0.1, 0.5], [0.0, 0.1, 0.5]),
    ],
)
def test_both_views_by_hand(whole, tiles, both):
    across = torch.tensor(4.0)
    got = combine(torch.tensor([whole]), torch.tensor([tiles]), across, None)
    torch.testing.assert_close(got, torch.tensor([both]))
    again = combine(torch.tensor([tiles]), torch.tensor([whole]), across, None)
    assert torch.equal(got, again)


@given(st.lists(st.floats(0, 6, width=32), min_size=14, max_size=14), st.floats(1, 60, width=32))
def test_both_libraries_follow_one_rule(values, across):
    whole, tiles = np.array(values, np.float32).reshape(2, 1, 7)
    for among in (MOTIONS, None):
        theirs = combine(
            torch.from_numpy(whole), torch.from_numpy(tiles), torch.tensor(across), among
        ).numpy()
        ours = bands.combine(whole, tiles, across, among)
        # Strengths are exponentials: single precision leaves five digits of them.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    stacked = np.stack([whole, tiles], axis=1)[:, :, None, :].reshape(1, 2, 1, 7)
    theirs = aggregate(torch.from_numpy(stacked)).numpy()
    np.testing.assert_allclose(bands.aggregate(stacked), theirs, rtol=1e-5, atol=1e-6)


def test_the_views_are_those_that_can_be_asked_for():
    assert tuple(view.value for view in View) == VIEWS
    assert DEFAULT in VIEWS
    info = views_info(pair_metric())
    assert (info.default, info.tile) == (DEFAULT, 64)
    assert (info.layout, info.aggregation, info.both) == (LAYOUT, AGGREGATION, BOTH)
    assert tile_side(channel_metric(32)) == 32
    assert tile_side(channel_metric(None)) == TILE


# --- the metric -----------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_marks_of_a_metric(viewed, size):
    first, second = photos(3, *size), photos(3, *size, seed=1)
    before = first.clone(), second.clone()
    there = outputs(viewed, first, second, IMPORTANCE)
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])
    rows, columns = (len(starts(length, viewed.side)) for length in size)
    assert there["tiles"].shape == (3, rows, columns, len(AMOUNTS))
    for view in VIEWS:
        distance, amounts, places = (
            there[f"{kind}_{view}"] for kind in ("distance", "amounts", "map")
        )
        assert distance.shape == (3,)
        assert amounts.shape == (3, len(AMOUNTS))
        cells = (
            (MAP_CELLS, MAP_CELLS) if view == "whole" else (rows * TILE_CELLS, columns * TILE_CELLS)
        )
        assert places.shape == (3, *cells)
        assert torch.all(distance > 0)
        torch.testing.assert_close(amounts @ IMPORTANCE, distance, rtol=1e-6, atol=0)
        torch.testing.assert_close(places.mean(dim=(1, 2)), distance, rtol=1e-5, atol=0)
    for values in there.values():
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()
        assert torch.all(values >= 0)
    back = outputs(viewed, second, first, IMPORTANCE)
    for name, values in there.items():
        assert torch.equal(back[name], values), name
    for name, values in outputs(viewed, first, first.clone(), IMPORTANCE).items():
        assert values.count_nonzero() == 0, name


@pytest.mark.parametrize("size", SIZES[:3], ids=str)
def test_each_pair_by_itself_and_one_reference_with_many(viewed, size):
    first, second = photos(5, *size), photos(5, *size, seed=1)
    together = outputs(viewed, first, second, IMPORTANCE)
    alone = [outputs(viewed, first[i : i + 1], second[i : i + 1], IMPORTANCE) for i in range(5)]
    shared = outputs(viewed, first[:1], second, IMPORTANCE)
    paired = outputs(viewed, first[:1].repeat(5, 1, 1, 1), second, IMPORTANCE)
    for name, values in together.items():
        joined = torch.cat([each[name] for each in alone])
        torch.testing.assert_close(joined, values, **CLOSE, msg=lambda text, n=name: f"{n}: {text}")
        assert shared[name].shape == paired[name].shape
        torch.testing.assert_close(shared[name], paired[name], **CLOSE)


def test_the_whole_view_is_the_metric_itself(viewed):
    first, second = photos(2, 130, 100), photos(2, 130, 100, 1)
    own = viewed.metric.head.importances
    there = outputs(viewed, first, second, own)
    with torch.no_grad():
        expected = viewed.metric(first, second)
    for kind, values in zip(("distance", "amounts", "map"), expected, strict=True):
        torch.testing.assert_close(there[f"{kind}_whole"], values, **CLOSE)


def test_an_image_of_one_tile_looks_the_same_in_every_view(viewed):
    side = viewed.side
    first, second = photos(3, side, side), photos(3, side, side, 1)
    there = outputs(viewed, first, second, IMPORTANCE)
    # Convolutions of another batch size sum in another order, which order depends on the processor:
    # the limit is that of an exported file's parity. `other` is a difference of amounts, so its
    # error is a share of the largest of them.
    close = {"rtol": 1e-5, "atol": 1e-5 * max(1.0, float(there["amounts_whole"].max()))}
    for view in ("tiles", "both"):
        for kind in ("distance", "amounts"):
            torch.testing.assert_close(there[f"{kind}_{view}"], there[f"{kind}_whole"], **close)
    torch.testing.assert_close(there["tiles"][:, 0, 0], there["amounts_whole"], **close)


def test_each_tile_is_read_as_an_image_of_its_own(viewed):
    first, second = photos(2, 130, 100), photos(2, 130, 100, 1)
    tiles = outputs(viewed, first, second, IMPORTANCE)["tiles"]
    cut = cut_tiles(first, viewed.side), cut_tiles(second, viewed.side)
    with torch.no_grad():
        images = (each.flatten(0, 2).permute(0, 2, 3, 1) for each in cut)
        expected, _ = viewed.metric.read(*images)
    torch.testing.assert_close(tiles.flatten(0, 2), expected, **CLOSE)


def test_views_follow_from_amounts_by_the_stated_rules(viewed):
    there = outputs(viewed, photos(3, 130, 200), photos(3, 130, 200, 1), IMPORTANCE)
    torch.testing.assert_close(there["amounts_tiles"], aggregate(there["tiles"]), **CLOSE)
    across = torch.tensor(math.sqrt(130 * 200) / viewed.side)
    both = combine(there["amounts_whole"], there["amounts_tiles"], across, viewed.motions)
    assert torch.equal(there["amounts_both"], both)


def test_twice_the_importances_are_twice_the_distance(viewed):
    first, second = photos(2, 130, 70), photos(2, 130, 70, 1)
    there = outputs(viewed, first, second, IMPORTANCE)
    twice = outputs(viewed, first, second, 2 * IMPORTANCE)
    for name, values in there.items():
        if name.startswith("distance"):
            assert torch.equal(twice[name], 2 * values)
        elif name.startswith("map"):
            torch.testing.assert_close(twice[name], 2 * values, rtol=1e-6, atol=0)
        else:
            assert torch.equal(twice[name], values)


def test_its_own_importances_do_not_count(viewed):
    first, second = photos(2, 70, 70), photos(2, 70, 70, 1)
    before = outputs(viewed, first, second, IMPORTANCE)
    own = viewed.metric.head.importances.clone()
    try:
        viewed.metric.head.importances.fill_(9.0)
        after = outputs(viewed, first, second, IMPORTANCE)
    finally:
        viewed.metric.head.importances.copy_(own)
    assert all(torch.equal(after[name], values) for name, values in before.items())


@pytest.mark.parametrize("view", ["tiles", "both"])
def test_the_map_shows_where_a_change_is(viewed, view):
    first = photos(1, 192, 256)
    second = first.clone()
    second[:, 128:, :64] = photos(1, 64, 64, 1)
    there = outputs(viewed, first, second, IMPORTANCE)
    places = there[f"map_{view}"][0]
    height, width = places.shape
    changed = places[2 * height // 3 :, : width // 4]
    # Tiles begin at multiples of their side here, and none looks beyond itself.
    assert changed.sum() == pytest.approx(float(places.sum()), rel=1e-6)
    assert torch.all(changed > 0)


def test_a_faint_change_of_one_pixel_is_seen_in_every_view(viewed):
    first = photos(1, 150, 90).clamp(max=254)
    second = first.clone()
    second[0, 140, 80, 1] += 1
    tiny = outputs(viewed, first, second, IMPORTANCE)
    large = outputs(viewed, first, photos(1, 150, 90, 1), IMPORTANCE)
    for view in VIEWS:
        assert 0 < tiny[f"distance_{view}"] < large[f"distance_{view}"] / 5


class OnlyWhole(nn.Module):
    """A head that sees a turn in one image alone, and in several tiles none."""

    names = AMOUNTS

    def amounts(self, z: torch.Tensor) -> torch.Tensor:
        amounts = torch.zeros(len(z), len(AMOUNTS))
        amounts[:, -1] = z[:, 0]
        if len(z) == 1:
            amounts[:, 0] = 1.0
        return amounts


def test_what_only_the_whole_view_shows_has_a_map_as_well():
    """A turn of everything: tiles may show none of it, where nothing else counts."""
    metric = pair_metric()
    metric.head = OnlyWhole()
    turns_alone = torch.tensor([1.0, 0, 0, 0, 0, 0, 0])
    there = outputs(ViewedMetric(metric), photos(1, 130, 200), photos(1, 130, 200, 1), turns_alone)
    assert there["distance_tiles"].tolist() == [0.0]
    assert there["map_tiles"].count_nonzero() == 0
    assert there["distance_both"].tolist() == [1.0]
    torch.testing.assert_close(there["map_both"].mean(dim=(1, 2)), there["distance_both"])


def test_random_importances_keep_maps_and_distances_together():
    viewed = ViewedMetric(pair_metric())
    first, second = photos(2, 100, 150), photos(2, 100, 150, 1)
    for seed in range(5):
        importance = torch.rand(len(AMOUNTS), generator=seeded(seed)) ** 4
        there = outputs(viewed, first, second, importance)
        for view in VIEWS:
            mean = there[f"map_{view}"].mean(dim=(1, 2))
            torch.testing.assert_close(mean, there[f"distance_{view}"], rtol=1e-5, atol=0)
