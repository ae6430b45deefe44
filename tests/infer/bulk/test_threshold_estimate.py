"""Estimates from acceptable pairs: the rate that they keep, and how many pairs it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer.bulk.threshold_estimate import upper_bound
from dps_infer.errors import ThresholdError, UsageError


def test_the_bound_is_the_largest_place_that_keeps_the_rate():
    # Against the definition, summed up term by term.
    for count, rate, confidence in ((200, 0.01, 0.8), (1000, 0.01, 0.95), (500, 0.05, 0.5)):
        place = upper_bound(range(count), false_alarms=rate, confidence=confidence).place

        def below(most: int, count: int = count, rate: float = rate) -> float:
            return sum(
                math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(most)
            )

        assert below(place) <= 1 - confidence < below(place + 1)


def test_two_hundred_pairs_keep_one_per_cent():
    # Acceptance: 200 pairs at 1 % give 0 to 3 % on 1,000 others. Exchangeable pairs are
    # uniform ranks for any distribution of distances. Theory: 0.4 % of the draws are beyond 3 %.
    generator = np.random.default_rng(0)
    draws = generator.uniform(size=(1000, 1200))
    rates = []
    for draw in draws:
        bound = upper_bound(draw[:200].tolist(), false_alarms=0.01, confidence=0.8)
        rates.append(np.mean(draw[200:] > bound.distance))
    assert np.mean(np.array(rates) > 0.03) < 0.01
    assert 0.003 < np.mean(rates) < 0.008


@given(st.integers(161, 1000), st.integers(1, 500), st.integers(0, 2**32))
def test_few_of_the_given_distances_are_above_the_bound(count, different, seed):
    distances = np.random.default_rng(seed).integers(0, different, count).tolist()
    bound = upper_bound(distances, false_alarms=0.01, confidence=0.8)
    assert bound.distance in distances
    assert sum(distance > bound.distance for distance in distances) <= 0.01 * count


def test_many_pairs_need_no_larger_floats():
    bound = upper_bound(range(200_000), false_alarms=0.3, confidence=0.9)
    assert bound.place == pytest.approx(60_000, rel=0.01)


def test_too_few_pairs_are_refused_with_advice_that_works():
    with pytest.raises(ThresholdError, match="161 or more") as refused:
        upper_bound(range(40), false_alarms=0.01, confidence=0.8)
    advice = float(str(refused.value).split("--false-alarms ")[1])
    assert upper_bound(range(40), false_alarms=advice, confidence=0.8).place == 1
    assert upper_bound(range(161), false_alarms=0.01, confidence=0.8).place == 1
    with pytest.raises(ThresholdError):
        upper_bound(range(160), false_alarms=0.01, confidence=0.8)
    with pytest.raises(ThresholdError, match=r"^0 acceptable pairs"):
        upper_bound([], false_alarms=0.01, confidence=0.8)


@pytest.mark.parametrize("share", [0, 1, -0.5, 5, math.nan])
def test_shares_are_between_0_and_1(share):
    with pytest.raises(UsageError, match="between 0 and 1"):
        upper_bound(range(500), false_alarms=share, confidence=0.8)
    with pytest.raises(UsageError, match="between 0 and 1"):
        upper_bound(range(500), false_alarms=0.1, confidence=share)
