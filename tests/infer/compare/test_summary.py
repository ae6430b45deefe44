"""Many comparisons summed up: worst pairs, spreads and thresholds."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer.compare.pairs import Comparison
from dps_infer.compare.summary import Tally, any_above


def comparison(distance: float) -> Comparison:
    return Comparison(
        distance=distance,
        amounts={},
        parts={},
        percentiles={},
        identical=distance == 0,
        notes=(),
        provider="",
    )


# Few different values, so that equal distances are drawn often.
distances = st.lists(st.integers(0, 5).map(float), max_size=12)


@given(distances, st.none() | st.integers(0, 15))
def test_the_worst_pairs_are_kept_and_all_are_counted(values, worst):
    tally: Tally[int] = Tally(["a", "b"], worst=worst)
    for number, value in enumerate(values):
        tally.add(number, {"a": comparison(value), "b": comparison(5 - value)})
    # The first metric decides; of equal distances the first pair is the worse one.
    order = sorted(range(len(values)), key=lambda number: -values[number])
    assert list(tally.worst()) == order[:worst]
    assert (tally.compared, tally.identical) == (len(values), values.count(0))
    spreads = tally.spreads({"a": 2.0, "b": None})
    assert spreads["a"].above == sum(value > 2 for value in values)
    assert spreads["b"].above is None
    if values:
        assert spreads["a"].median == median(values)
        assert spreads["b"].largest == 5 - min(values)
    else:
        assert spreads["a"].median is spreads["a"].largest is None


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [({}, False), ({"a": None, "b": 1.0}, False), ({"a": 0.5}, False), ({"b": 0.9}, True)],
)
def test_a_threshold_is_exceeded_only_in_its_own_context(thresholds, expected):
    results = [{"a": comparison(0.1), "b": comparison(0.2)}]
    results.append({"a": comparison(0.5), "b": comparison(1.0)})
    assert any_above(results, thresholds) == expected
