"""Reading distances beside well-known changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import AMOUNTS, IMPORTANCES, make_ladder

from dps_infer.model.anchors import Anchor, Scale, anchor, scales
from dps_infer.model.manifest import Ladder

QUALITY = Scale("JPEG quality", (90, 50, 10), (0.1, 0.2, 0.6))


@pytest.mark.parametrize(
    ("distance", "value", "beyond"),
    [
        (0.0, 90, -1),
        (0.0999, 90, -1),
        (0.1, 90, 0),
        (0.15, 70, 0),
        (0.2, 50, 0),
        (0.3, 40, 0),
        (0.6, 10, 0),
        (0.6001, 10, 1),
        (1e9, 10, 1),
    ],
)
def test_a_distance_lies_between_two_steps_or_beyond_an_end(distance, value, beyond):
    assert anchor(distance, QUALITY) == Anchor("JPEG quality", pytest.approx(value), beyond)


# As in a manifest, of which the distances of a scale are made.
rising = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9, unique=True).map(sorted)


@given(rising, st.booleans(), st.floats(0, 2e6), st.floats(0, 2e6))
def test_a_larger_distance_is_never_beside_a_fainter_change(distances, falls, first, second):
    steps = [float(10 + place) for place in range(len(distances))]
    scale = Scale("x", tuple(steps[::-1] if falls else steps), tuple(distances))
    low, high = (anchor(one, scale) for one in sorted([first, second]))
    assert low.beyond <= high.beyond
    assert (low.value - high.value) * (1 if falls else -1) >= -1e-9
    for one in (low, high):
        assert min(steps) <= one.value <= max(steps)


@given(rising)
def test_the_distance_of_a_step_is_that_step(distances):
    steps = tuple(float(2**place) for place in range(len(distances)))
    scale = Scale("x", steps, tuple(distances))
    for step, distance in zip(steps, distances, strict=True):
        assert anchor(distance, scale) == Anchor("x", pytest.approx(step), 0)


def test_equal_steps_are_read_as_the_faintest():
    flat = Scale("x", (1, 2, 3), (0.0, 0.0, 0.5))
    assert anchor(0.0, flat) == Anchor("x", 1, 0)
    assert anchor(0.25, flat) == Anchor("x", 2.5, 0)


def test_a_step_has_the_median_of_the_photographs_and_none_falls():
    amounts = [[[1.0], [2.0], [9.0]], [[1.5], [1.0], [0.0]], [[4.0], [5.0], [3.0]]]
    (scale,) = scales([Ladder(name="x", steps=[1, 2, 3], amounts=amounts)], ["blur"], {"blur": 2})
    assert scale == Scale("x", (1, 2, 3), (4.0, 4.0, 8.0))


@given(st.fixed_dictionaries({name: st.just(0.0) | st.floats(1e-9, 10) for name in AMOUNTS}))
def test_scales_are_those_of_the_context(importances):
    ladder = make_ladder()
    found = scales([ladder], AMOUNTS, importances)
    if importances["blur"] == 0:
        # Nothing of this change counts, so that it says nothing about a distance.
        assert found == []
        return
    weights = np.array([importances[name] for name in AMOUNTS])
    typical = np.median(np.array(ladder.amounts) @ weights, axis=1)
    (scale,) = found
    assert (scale.change, scale.steps) == ("JPEG quality", (90, 50, 10))
    assert scale.distances == pytest.approx(typical.tolist(), rel=1e-12)


def test_importances_that_are_missing_do_not_count():
    assert scales([make_ladder()], AMOUNTS, {"rotate": 1.0}) == []
    (scale,) = scales([make_ladder()], AMOUNTS, {"blur": 1.0})
    assert scale == scales([make_ladder()], AMOUNTS, IMPORTANCES)[0]


def test_a_file_without_ladders_has_no_anchors():
    assert scales([], ["other"], {"other": 1.0}) == []
