"""Tiles: where they lie, and that an image taken in bands gives what the graph gives at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer import Metric
from dps_infer.compare import bands, runner
from dps_infer.compare.bands import motions, without_motion
from dps_infer.model import embedded
from dps_infer.model.manifest import DistortionInfo
from dps_infer.model.view import View

DISTORTIONS = [
    DistortionInfo(
        name=name, parameter="", range=(0, 1), strength="", threshold=low, reference=high
    )
    for name, low, high in (("rotate", 3, 90), ("translate", 0.02, 0.25), ("zoom", 0.03, 0.5))
]

needs_embedded = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)


@given(st.integers(1, 3000), st.sampled_from([8, 64]))
def test_tiles_cover_a_side_evenly_and_stay_inside(length, tile):
    first = bands.starts(length, tile)
    assert len(first) == -(-length // tile)
    assert first[0] == 0
    assert first[-1] == max(length - tile, 0)
    steps = np.diff(first)
    assert np.all(steps <= tile), "a gap between tiles"
    assert np.ptp(steps) <= 1 if len(steps) else True


def test_amounts_of_tiles_are_put_together():
    tiles = np.zeros((1, 2, 2, 3), np.float32)
    tiles[0, 0, 0] = [2.0, 1.0, 0.0]
    tiles[0, 1, 1] = [0.0, 1.0, 0.0]
    assert bands.aggregate(tiles)[0] == pytest.approx([2 ** (1 / 3), 0.5 ** (1 / 3), 0.0])
    even = np.full((1, 3, 2, 3), 0.7, np.float32)
    assert bands.aggregate(even)[0] == pytest.approx([0.7] * 3)


# --- motion ---------------------------------------------------------------------------

AMOUNTS = ("rotate", "translate", "darken", "color", "blur", "zoom", "other")
WHOLE = np.zeros((1, 7), np.float32)
ACROSS = 16.0


def freed(tiles: np.ndarray, whole: np.ndarray = WHOLE) -> dict[str, float]:
    (result,) = without_motion(whole, tiles, ACROSS, motions(AMOUNTS, DISTORTIONS))
    return dict(zip(AMOUNTS, result.tolist(), strict=True))


def row(**amounts: float) -> np.ndarray:
    return np.array([[amounts.get(name, 0) for name in AMOUNTS]], np.float32)


def test_without_motion_tiles_count_fully_but_for_their_own_turns():
    seen = freed(row(blur=0.7, color=0.3, other=0.2, rotate=0.5, zoom=0.4))
    assert seen == pytest.approx({**row_of(0), "blur": 0.7, "color": 0.3, "other": 0.2})


def test_a_shift_in_tiles_is_a_fraction_of_the_image():
    seen = freed(row(translate=1.0))
    # The reference, a quarter of a tile, is a quarter of a sixteenth of the image.
    expected = np.log1p(0.25 / 16 / 0.02) / np.log1p(0.25 / 0.02)
    assert seen["translate"] == pytest.approx(expected)


@pytest.mark.parametrize("motion", ["rotate", "translate", "zoom"])
def test_where_the_whole_has_moved_tiles_say_nothing_more(motion):
    tiles = row(rotate=1, translate=1, darken=1, color=1, blur=1, zoom=1, other=3)
    seen = freed(tiles, row(**{motion: 1.0}))
    for name in AMOUNTS:
        if name != "translate":
            assert seen[name] == 0, name
    alone = freed(row(translate=1.0))["translate"]
    share = 1 if motion == "translate" else 0.05 / 1.05
    assert seen["translate"] == pytest.approx(share * alone)


def test_the_more_the_whole_has_moved_the_less_tiles_count():
    tiles = row(blur=1.0)
    seen = [freed(tiles, row(translate=t))["blur"] for t in np.linspace(0, 0.3, 30)]
    assert seen[0] == 1
    assert seen[-1] == 0
    assert np.all(np.diff(seen) <= 0)


def test_a_metric_without_amounts_of_motion_is_left_alone():
    assert motions(("other",), DISTORTIONS) is None
    assert motions(("translate", "other"), DISTORTIONS) is None
    tiles = row(other=3)
    assert np.array_equal(without_motion(WHOLE, tiles, ACROSS, None), tiles)


def row_of(value: float) -> dict[str, float]:
    return dict.fromkeys(AMOUNTS, value)


@pytest.fixture(scope="module")
def context() -> Metric:
    return Metric.universal(ranking="color,blur", threads=1)


@needs_embedded
@pytest.mark.parametrize("view", [View.tiles, View.both])
@pytest.mark.parametrize(("height", "width"), [(200, 333), (70, 640), (64, 64), (40, 500)])
def test_bands_give_what_the_graph_gives(context, monkeypatch, view, height, width):
    generator = np.random.default_rng(3)
    reference = generator.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    near = reference[0] ^ generator.integers(0, 16, (height, width, 3), dtype=np.uint8)
    candidates = np.stack([near, np.roll(reference[0], 9, axis=1), reference[0]])
    at_once = context.measure(reference, candidates, view=view, with_map=True)
    monkeypatch.setattr(runner, "BAND_PIXELS", 100 * 64)
    in_bands = context.measure(reference, candidates, view=view, with_map=True)
    for name in ("distances", "amounts", "tiles", "maps"):
        once, banded = getattr(at_once, name), getattr(in_bands, name)
        assert once.shape == banded.shape
        # Other batches, other order of sums: single precision over a few hundred numbers.
        np.testing.assert_allclose(banded, once, rtol=1e-4, atol=1e-5, err_msg=name)
    assert in_bands.distances[2] == 0
    assert np.all(in_bands.maps[2] == 0)


@needs_embedded
def test_several_references_in_bands(context, monkeypatch):
    generator = np.random.default_rng(4)
    references = generator.integers(0, 256, (2, 130, 150, 3), dtype=np.uint8)
    candidates = generator.integers(0, 256, (2, 130, 150, 3), dtype=np.uint8)
    at_once = context.measure(references, candidates)
    monkeypatch.setattr(runner, "BAND_PIXELS", 1)
    in_bands = context.measure(references, candidates)
    np.testing.assert_allclose(in_bands.amounts, at_once.amounts, rtol=1e-4, atol=1e-5)
