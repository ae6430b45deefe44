"""The metric of size and presence on images: its outputs, at any size."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from train_helpers import channel_metric, pair_metric, photos

from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import SIZE
from dps_train.contexts import AMOUNTS
from dps_train.data.sources import photograph
from dps_train.distortions.kinds import KIND_NAMES, KINDS
from dps_train.model.change.change_features import FEATURES, MOTION
from dps_train.model.change.change_metric import ROTATE, TRANSLATE, ZOOM, ChangeMetric, Outputs
from dps_train.model.change.general_distance import TERMS
from dps_train.model.change.half_planes import CELL
from dps_train.model.embedded.embedded_metric import load_universal

FIELDS = ("amounts", "strengths", "directions", "cells", "places")
SIZES = ((64, 64), (17, 31), (65, 130), (96, 80))

# As in test_metric.py; strengths and directions are of magnitude 1 to 100.
CLOSE = {"rtol": 2e-3, "atol": 2e-3}


@pytest.fixture(scope="module", params=["channels", "encoder"])
def metric(request) -> ChangeMetric:
    return channel_metric(32) if request.param == "channels" else pair_metric()


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_outputs_at_any_size(metric, size):
    out = metric.outputs(photos(2, *size), photos(2, *size, 9))
    rows, columns = (-(-length // CELL) for length in size)
    kinds = len(KIND_NAMES)
    assert out.amounts.shape == (2, len(AMOUNTS))
    assert out.strengths.shape == out.directions.shape == (2, kinds)
    assert out.cells.shape == (2, rows, columns, kinds)
    assert out.places.shape == (2, 8 * rows, 8 * columns)
    for name in FIELDS:
        assert torch.isfinite(getattr(out, name)).all(), name
        assert name == "directions" or torch.all(getattr(out, name) >= 0), name
    assert out.directions.abs().max() <= 1


@torch.no_grad()
def test_strengths_and_directions_are_those_of_kinds_that_are_there_and_have_some(metric):
    # Random weights make few kinds probable.
    metric = copy.deepcopy(metric)
    metric.head.layers.direct.bias[: len(KIND_NAMES)] += 2
    out = metric.outputs(photos(3, 64, 64), photos(3, 64, 64, 9))
    there = out.amounts[:, :-1] > 0
    with_unit = torch.tensor([kind.unit is not None for kind in KINDS] + [False])
    directed = torch.tensor([kind.directions is not None for kind in KINDS] + [False])
    assert (there & with_unit).any()
    assert not there.all()
    assert torch.equal(out.strengths > 0, there & with_unit)
    assert torch.equal(out.directions != 0, there & directed)


@pytest.mark.parametrize("size", SIZES[1:3])
@torch.no_grad()
def test_exchanged_images_have_equal_amounts_and_opposite_directions(metric, size):
    first, second = photos(2, *size), photos(2, *size, 9)
    there, back = metric.outputs(first, second), metric.outputs(second, first)
    torch.testing.assert_close(back.amounts, there.amounts, **CLOSE)
    torch.testing.assert_close(back.cells, there.cells, **CLOSE)
    torch.testing.assert_close(back.places, there.places, **CLOSE)
    torch.testing.assert_close(back.directions, -there.directions, **CLOSE)
    # By what percent it is enlarged depends on what is enlarged.
    others = [number for number in range(len(KIND_NAMES)) if number != ZOOM]
    torch.testing.assert_close(back.strengths[:, others], there.strengths[:, others], **CLOSE)


@torch.no_grad()
def test_equal_images_have_no_amount_and_no_direction(metric):
    images = photos(2, 65, 70)
    out = metric.outputs(images, images.clone())
    for name in ("amounts", "directions", "cells", "places"):
        assert getattr(out, name).abs().max() < 1e-5, name
    assert out.amounts.count_nonzero() == out.places.count_nonzero() == 0


@pytest.mark.parametrize("count", [1, 3])
@torch.no_grad()
def test_one_reference_with_many_is_as_many_pairs(metric, count):
    reference, candidates = photos(1, 33, 70), photos(count, 33, 70, 5)
    shared = metric.outputs(reference, candidates)
    paired = metric.outputs(reference.repeat(count, 1, 1, 1), candidates)
    alone = [metric.outputs(reference, candidates[i : i + 1]) for i in range(count)]
    for name in FIELDS:
        torch.testing.assert_close(getattr(paired, name), getattr(shared, name), **CLOSE)
        parts = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(parts, getattr(shared, name), **CLOSE)


@torch.no_grad()
def test_z_is_made_of_what_the_head_splits(metric):
    first, second = metric.features(photos(2, 64, 64), photos(2, 64, 64, 9))
    z, (evidence, directions), change = metric.comparison.compared(first, second)
    assert torch.equal(metric.comparison(first, second), z)
    lengths = metric.head.lengths
    assert lengths[:4] == (1, TERMS, 2 * FEATURES, MOTION)
    assert z.shape == (2, sum(lengths))
    assert evidence.shape == directions.shape == (2, 1, len(KIND_NAMES))
    assert torch.equal(z[:, 1 : 1 + TERMS], change.terms)


@torch.no_grad()
def test_images_of_levels_have_the_maps_of_bytes(metric):
    images = photos(2, 40, 50)
    floats = images.permute(0, 3, 1, 2).float() / 255
    for one, other in zip(metric.maps(floats), metric.described(images), strict=True):
        # Dividing by 255 and multiplying again rounds; logarithms of details are not taken yet.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_context_of_the_size_is_the_size(metric):
    before = metric.head.importances.clone()
    metric.head.set_importances({SIZE: 1.0})
    first, second = photos(2, 64, 64), photos(2, 64, 64, 9)
    distance, amounts, _ = metric(first, second)
    metric.head.importances.copy_(before)
    torch.testing.assert_close(distance, amounts[:, -1], rtol=0, atol=0)
    assert torch.all(distance > 0)


@torch.no_grad()
def test_cells_show_where_the_images_differ(metric):
    first = photos(1, 150, 200)
    second = first.clone()
    second[:, 64:128, :64] = 255 - second[:, 64:128, :64]
    cells = metric.outputs(first, second).cells[0].sum(dim=-1)
    assert divmod(int(cells.argmax()), cells.shape[1]) == (1, 0)
    assert cells[0, 2:].max() < cells[1, 0] / 5


# --- motion, which is measured and not learned ----------------------------------------


def moved(degrees: float = 0, across: float = 0, percent: float = 0) -> Outputs:
    """A photograph, and the same turned clockwise, shifted, or enlarged."""
    margin = 40
    whole = np.ascontiguousarray(photograph("chelsea")[:280, :360])
    middle = ((whole.shape[1] - 1) / 2, (whole.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, -degrees, 1 + percent / 100)
    matrix[0, 2] += across
    size = whole.shape[1], whole.shape[0]
    changed = cv2.warpAffine(whole, matrix, size, flags=cv2.INTER_CUBIC)
    pair = [
        torch.from_numpy(np.ascontiguousarray(part[margin:-margin, margin:-margin]))[None]
        for part in (whole, changed)
    ]
    metric = pair_metric()
    with torch.no_grad():
        # A kind has a strength where it is there: let every kind be there.
        kinds = len(KIND_NAMES)
        metric.head.layers.direct.bias[:kinds] += 100
        metric.comparison.cell_head.layers[-1].bias[:kinds] += 100
        return metric.outputs(*pair)


def number(values: Tensor, kind: int) -> float:
    return float(values[0, kind])


@pytest.mark.parametrize("degrees", [2.0, -2.0])
def test_a_turn_has_degrees_and_a_direction(degrees):
    out = moved(degrees=degrees)
    assert number(out.strengths, ROTATE) == pytest.approx(2, rel=0.2)
    assert number(out.directions, ROTATE) * degrees > 1


def test_a_shift_has_pixels():
    assert number(moved(across=3).strengths, TRANSLATE) == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("percent", [4.0, -4.0])
def test_an_enlargement_has_percent_and_a_direction(percent):
    out = moved(percent=percent)
    assert number(out.strengths, ZOOM) == pytest.approx(4, rel=0.2)
    assert number(out.directions, ZOOM) * percent > 2


@pytest.mark.usefixtures("real_weights")
def test_a_part_whose_change_hardly_counts_fades_from_the_map():
    """One part is blurred, another recolored."""
    reference = photograph("astronaut")
    candidate = reference.copy()
    blurred, recolored = np.s_[40:240, 160:310], np.s_[310:490, 60:240]
    candidate[blurred] = cv2.GaussianBlur(reference, (0, 0), 3)[blurred]
    hue = cv2.cvtColor(reference, cv2.COLOR_RGB2HSV)
    hue[..., 0] = (hue[..., 0].astype(int) + 30) % 180
    candidate[recolored] = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[recolored]
    metric = load_universal()
    with torch.no_grad():
        out = metric.outputs(*(torch.from_numpy(pixels)[None] for pixels in (reference, candidate)))
        maps = []
        for ranking in (
            "color,translate,zoom,rotate,darken,blur",
            "blur,translate,zoom,rotate,darken,color",
        ):
            counts = ranking_context(ranking).importances
            importances = torch.tensor([counts.get(name, 0.0) for name in metric.head.names])
            maps.append(metric.places_in(out, importances)[0])
    for shown in maps:
        assert float(shown.mean()) == pytest.approx(1, rel=1e-5)
    of_blur, of_color = maps
    soft, colored = np.s_[5:30, 20:39], np.s_[39:61, 8:30]
    assert of_blur[soft].mean() > 2 * of_blur[colored].mean()
    assert of_color[colored].mean() > 2 * of_color[soft].mean()
