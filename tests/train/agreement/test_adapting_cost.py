"""The cost of adapting, on scores and on BAPPS: closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scores_helpers import scored

from dps_train.agreement.adapting_cost import Judged, bapps_cost, scores_cost
from dps_train.agreement.agreement import resampled_references
from dps_train.judgements.scoring import BappsScores

GROUPS = np.repeat(np.arange(5), 6)
COUNTS = resampled_references(5, seed=0, resamples=100)


def test_metrics_that_order_as_before_cost_nothing_with_certainty():
    rng = np.random.default_rng(0)
    people, distances = rng.normal(size=30), rng.uniform(size=30)
    cost = scores_cost(
        scored(people, GROUPS), distances, {"a": distances**2, "b": 7 * distances}, COUNTS
    )
    for part in (cost.overall, cost.within):
        # Monotone functions of a distance rank alike.
        assert part.mean == part.lowest == part.highest == pytest.approx(part.unadapted)
        assert part.difference.value == pytest.approx(0, abs=1e-12)
        assert part.difference.low == part.difference.high == pytest.approx(0, abs=1e-12)


def test_mean_lowest_and_highest_are_over_the_rankings():
    people = np.tile(np.arange(6.0), 5)
    cost = scores_cost(scored(people, GROUPS), people, {"same": people, "not": -people}, COUNTS)
    assert cost.within.unadapted == pytest.approx(1)
    assert cost.within.each == pytest.approx({"same": 1, "not": -1})
    assert (cost.within.lowest, cost.within.highest) == pytest.approx((-1, 1))
    assert cost.within.mean == pytest.approx(0)
    # Every reference is alike, so that no resample differs.
    difference = cost.within.difference
    assert (difference.value, difference.low, difference.high) == pytest.approx((-1, -1, -1))


def test_without_an_unadapted_metric_there_is_no_difference():
    people = np.tile(np.arange(6.0), 5)
    cost = scores_cost(scored(people, GROUPS), None, {"a": people}, COUNTS)
    assert cost.overall.unadapted is cost.overall.difference.value is None
    assert cost.overall.mean == pytest.approx(1)


def judged(each: dict[str, list[float]], jnd: float | None = 0.5) -> Judged:
    scores = {split: np.array(values) for split, values in each.items()}
    means = {split: float(values.mean()) for split, values in scores.items()}
    return Judged(BappsScores.of(means, {} if jnd is None else {"cnn": jnd}), scores)


def test_the_cost_on_bapps_is_a_mean_over_splits_with_an_interval_over_triplets():
    before = judged({"cnn": [1, 1, 0, 0], "color": [0.5, 0.5]}, jnd=0.6)
    after = {
        "a": judged({"cnn": [1, 0, 0, 0], "color": [0.5, 0.5]}, jnd=0.5),
        "b": judged({"cnn": [1, 0, 0, 0], "color": [0.5, 0.5]}, jnd=0.3),
    }
    cost = bapps_cost(before, after)
    assert cost.two_afc.unadapted == pytest.approx(0.5)
    assert cost.two_afc.each == pytest.approx({"a": 0.375, "b": 0.375})
    assert cost.two_afc.difference.value == pytest.approx(-0.125)
    # Differences of cnn are 0, -1, 0, 0, of variance 3/16; those of color do not vary.
    error = 1.96 * np.sqrt(3 / 16 / 4) / 2
    assert cost.two_afc.difference.low == pytest.approx(-0.125 - error)
    assert cost.two_afc.difference.high == pytest.approx(-0.125 + error)
    assert (cost.jnd.mean, cost.jnd.lowest, cost.jnd.highest) == pytest.approx((0.4, 0.3, 0.5))
    assert cost.jnd.difference.value == pytest.approx(-0.2)
    assert cost.jnd.difference.low is None


def test_a_part_of_bapps_that_is_not_there_has_no_cost():
    cost = bapps_cost(judged({"cnn": [1]}, None), {"a": judged({"cnn": [0]}, None)})
    assert cost.jnd is None
    assert cost.two_afc.mean == 0
