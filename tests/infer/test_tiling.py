"""Tiles: where they lie, and that an image taken in bands gives what the graph gives at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer import Context, embedded, tiling
from dps_infer.views import View

needs_embedded = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)


@given(st.integers(1, 3000), st.sampled_from([8, 64]))
def test_tiles_cover_a_side_evenly_and_stay_inside(length, tile):
    first = tiling.starts(length, tile)
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
    assert tiling.aggregate(tiles)[0] == pytest.approx([2 ** (1 / 3), 0.5 ** (1 / 3), 0.0])
    even = np.full((1, 3, 2, 3), 0.7, np.float32)
    assert tiling.aggregate(even)[0] == pytest.approx([0.7] * 3)


@pytest.fixture(scope="module")
def context() -> Context:
    return Context.universal(ranking="color,blur", threads=1)


@needs_embedded
@pytest.mark.parametrize("view", [View.tiles, View.both])
@pytest.mark.parametrize(("height", "width"), [(200, 333), (70, 640), (64, 64), (40, 500)])
def test_bands_give_what_the_graph_gives(context, monkeypatch, view, height, width):
    generator = np.random.default_rng(3)
    reference = generator.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    near = reference[0] ^ generator.integers(0, 16, (height, width, 3), dtype=np.uint8)
    candidates = np.stack([near, np.roll(reference[0], 9, axis=1), reference[0]])
    at_once = context.measure(reference, candidates, view=view, with_map=True)
    monkeypatch.setattr(tiling, "BAND_PIXELS", 100 * 64)
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
    monkeypatch.setattr(tiling, "BAND_PIXELS", 1)
    in_bands = context.measure(references, candidates)
    np.testing.assert_allclose(in_bands.amounts, at_once.amounts, rtol=1e-4, atol=1e-5)
