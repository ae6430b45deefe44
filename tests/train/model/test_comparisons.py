"""Comparisons of feature maps, by closed form and by property."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from train_helpers import seeded

from dps_export.freeze import OPSET
from dps_train.model.comparisons import (
    COMPARISONS,
    Comparison,
    difference_map,
    mean,
    sort,
    spatial,
    unit_normalize,
)

NAMES = ("spatial", "mean", "sort", "spatial+mean", "spatial+sort", "spatial+mean+sort")
PER_CHANNEL = ("spatial", "mean", "sort")


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
seeds = st.integers(0, 2**32)


def as_map(*rows: list[float]) -> torch.Tensor:
    """One pair, one channel."""
    return torch.tensor(rows)[None, None]


def test_closed_forms():
    first = as_map([1.0, 2.0], [3.0, 4.0])
    second = as_map([4.0, 3.0], [2.0, 0.0])
    # Differences 3, 1, 1, 4; means 2.5 and 2.25; sorted 4321 and 4320.
    assert spatial(first, second).tolist() == [[27 / 4]]
    assert mean(first, second).tolist() == [[1 / 16]]
    assert sort(first, second).tolist() == [[1 / 4]]


def test_unit_normalize_closed_form():
    features = torch.tensor([3.0, 4.0])[None, :, None, None]
    torch.testing.assert_close(unit_normalize(features).flatten(), torch.tensor([0.6, 0.8]))
    assert unit_normalize(torch.zeros(1, 2, 1, 1)).count_nonzero() == 0


def test_unit_normalize_has_a_finite_gradient_where_all_is_zero():
    features = torch.zeros(1, 2, 1, 1, requires_grad=True)
    unit_normalize(features).sum().backward()
    assert torch.isfinite(features.grad).all()


@given(shapes, seeds)
def test_normalized_positions_have_length_1(shape, seed):
    features = maps(seed, *shape) + 0.1
    length = unit_normalize(features).square().sum(dim=1).sqrt()
    known = features.square().sum(dim=1) > 1e-3
    torch.testing.assert_close(length[known], torch.ones_like(length)[known], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", COMPARISONS)
@given(shapes, seeds)
def test_zero_for_equal_symmetric_and_never_negative(name, shape, seed):
    function = COMPARISONS[name]
    first, second = maps(seed, *shape), maps(seed + 1, *shape)
    before = first.clone(), second.clone()
    z = function(first, second)
    assert z.ndim == 2
    assert len(z) == shape[0]
    if name in PER_CHANNEL:
        assert z.shape[1] == shape[1]
    assert torch.all(z >= 0)
    assert torch.equal(z, function(second, first))
    assert function(first, first.clone()).count_nonzero() == 0
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])


@pytest.mark.parametrize("name", COMPARISONS)
@given(shapes, seeds)
def test_twice_the_difference_is_four_times_as_far(name, shape, seed):
    first, second = maps(seed, *shape), maps(seed + 1, *shape)
    function = COMPARISONS[name]
    torch.testing.assert_close(function(2 * first, 2 * second), 4 * function(first, second))


@given(shapes, seeds)
def test_sort_and_mean_do_not_see_where_and_spatial_does(shape, seed):
    first, second = maps(seed, *shape), maps(seed + 1, *shape)
    order = torch.randperm(shape[2] * shape[3], generator=seeded(seed))
    moved = second.flatten(2)[:, :, order].reshape(shape)
    assert torch.equal(sort(first, moved), sort(first, second))
    assert sort(second, moved).count_nonzero() == 0
    torch.testing.assert_close(mean(first, moved), mean(first, second), rtol=1e-5, atol=1e-7)
    if not torch.equal(moved, second):
        assert spatial(second, moved).max() > 0


@given(shapes, seeds)
def test_sorting_finds_the_nearest_pairing(shape, seed):
    first, second = maps(seed, *shape), maps(seed + 1, *shape)
    assert torch.all(sort(first, second) <= spatial(first, second) * (1 + 1e-6) + 1e-7)
    assert torch.all(mean(first, second) <= sort(first, second) * (1 + 1e-6) + 1e-7)


def test_layout_is_where_the_maps_differ():
    layout = COMPARISONS["layout"]
    first = maps(0, 2, 3, 16, 16)
    flat = layout(first, first + 0.5)
    torch.testing.assert_close(flat, torch.full_like(flat, 3 * 0.25), rtol=1e-5, atol=0)
    second = first.clone()
    second[:, :, :4, 12:] += 1
    cells = layout(first, second)
    side = int(cells.shape[1] ** 0.5)
    assert cells.shape[1] == side**2
    assert cells.argmax(dim=1).tolist() == [side - 1] * 2
    corner = cells.reshape(2, side, side)[:, side // 2 :, : side // 2]
    assert corner.max() < 0.1 * cells.max()


# --- the module -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channel_norm", [True, False])
def test_the_module_lays_the_functions_side_by_side(name, channel_norm):
    comparison = Comparison(name, channel_norm=channel_norm)
    layers = [(2, 3, 5, 4), (2, 6, 3, 2)]
    raw = [[maps(10 * i + j, *shape) for j, shape in enumerate(layers)] for i in range(2)]
    first, second = (comparison.normalized(each) for each in raw)
    z = comparison(first, second)
    parts = name.split("+")
    assert z.shape == (2, (3 + 6) * len(parts))
    normal = unit_normalize if channel_norm else torch.clone
    expected = [
        COMPARISONS[part](normal(a), normal(b)) for a, b in zip(*raw, strict=True) for part in parts
    ]
    assert torch.equal(z, torch.cat(expected, dim=1))
    assert comparison(first, first).count_nonzero() == 0


@pytest.mark.parametrize("name", ["", "cosine", "spatial+", "spatial+cosine", "Spatial"])
def test_an_unknown_comparison(name):
    with pytest.raises(ValueError, match=r"unknown comparison .*expected spatial, mean"):
        Comparison(name)


def test_a_different_number_of_layers_is_an_error():
    comparison = Comparison()
    with pytest.raises(ValueError, match=r"shorter|longer"):
        comparison([maps(0, 1, 2, 3, 3)], [maps(1, 1, 2, 3, 3)] * 2)


# --- ONNX -----------------------------------------------------------------------------


class Compared(nn.Module):
    """A comparison of one layer."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.comparison(*(self.comparison.normalized([each]) for each in (first, second)))


@pytest.mark.parametrize(
    ("name", "channel_norm"), [("sort", True), ("sort", False), ("spatial+mean+sort", True)]
)
def test_sorting_is_the_same_in_onnx_at_every_size(name, channel_norm):
    module = Compared(Comparison(name, channel_norm=channel_norm))
    dimensions = dict(zip((0, 2, 3), map(torch.export.Dim, "NHW"), strict=True))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (maps(0, 3, 5, 7, 6), maps(1, 3, 5, 7, 6)),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(dimensions, dimensions),
            verbose=False,
        )
    model = program.model_proto
    assert "TopK" in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for count, height, width in ((1, 1, 1), (2, 3, 11), (4, 40, 33)):
        first, second = (maps(seed, count, 5, height, width) for seed in (2, 3))
        # Equal activations, and zeros in all channels of a position, as ReLUs leave them.
        first, second = first.relu().round(decimals=1), second.relu()
        feed = zip(session.get_inputs(), (first, second), strict=True)
        (seen,) = session.run(None, {value.name: each.numpy() for value, each in feed})
        np.testing.assert_allclose(seen, module(first, second), rtol=1e-5, atol=1e-7)


# --- where maps differ ----------------------------------------------------------------


def test_the_difference_map_shows_where():
    first = torch.zeros(1, 1, 4, 4)
    second = first.clone()
    second[0, 0, :2, 2:] = 3.0
    (cells,) = difference_map([first], [second], 2)
    # Antialiased bilinear weights (3, 3, 1 of 7) reach one position into the neighbouring cell.
    near, far = 6 / 7, 1 / 7
    expected = [[9 * near * far, 9 * near * near], [9 * far * far, 9 * far * near]]
    torch.testing.assert_close(cells, torch.tensor(expected))


@given(seeds)
def test_layers_of_any_size_and_width_count_alike_in_it(seed):
    first = [maps(seed, 2, 3, 8, 8), maps(seed + 1, 2, 4, 5, 3)]
    second = [first[0] + 0.5, first[1] - 2.0]
    cells = difference_map(first, second, 4)
    assert cells.shape == (2, 4, 4)
    torch.testing.assert_close(cells, torch.full_like(cells, 0.25 + 4), rtol=1e-5, atol=1e-5)
    assert torch.equal(cells, difference_map(second, first, 4))
    assert difference_map(first, [layer.clone() for layer in first], 4).count_nonzero() == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_module_gives_the_same_difference_map_whatever_it_compares(name):
    first, second = [maps(0, 2, 3, 8, 8)], [maps(1, 2, 3, 8, 8)]
    expected = difference_map(first, second, 4)
    assert torch.equal(Comparison(name).difference_map(first, second, 4), expected)
    assert torch.all(expected >= 0)
    assert expected.std() > 0
