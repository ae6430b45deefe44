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
        both = {"a": comparison(value), "b": comparison(5 - value)}
        tally.add(number, both, thresholds={"a": 2.0, "b": None})
    # The first metric decides; of equal distances the first pair is the worse one.
    order = sorted(range(len(values)), key=lambda number: -values[number])
    assert list(tally.worst()) == order[:worst]
    assert (tally.compared, tally.identical) == (len(values), values.count(0))
    spreads = tally.spreads()
    assert spreads["b"].above is spreads["b"].threshold is None
    if values:
        assert (spreads["a"].above, spreads["a"].threshold) == (sum(v > 2 for v in values), 2.0)
        assert spreads["a"].median == median(values)
        assert spreads["b"].largest == 5 - min(values)
    else:
        assert spreads["a"].median is spreads["a"].largest is None


def test_pairs_with_thresholds_of_their_own_are_ordered_by_the_ratio():
    tally: Tally[str] = Tally(["a", "b"], worst=None)
    tally.add("half", {"a": comparison(1.0)}, thresholds={"a": 2.0})
    tally.add("twice", {"b": comparison(0.2)}, thresholds={"b": 0.1})
    tally.add("none", {"a": comparison(9.0)})
    tally.add("zero", {"a": comparison(0.1)}, thresholds={"a": 0.0})
    tally.add("identical", {"a": comparison(0.0)}, thresholds={"a": 0.0})
    assert tally.worst() == ("zero", "twice", "half", "identical", "none")
    spreads = tally.spreads()
    assert [spreads[label].count for label in "ab"] == [4, 1]
    assert [spreads[label].above for label in "ab"] == [1, 1]
    assert [spreads[label].threshold for label in "ab"] == [None, 0.1]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [({}, False), ({"a": None, "b": 1.0}, False), ({"a": 0.5}, False), ({"b": 0.9}, True)],
)
def test_a_threshold_is_exceeded_only_in_its_own_context(thresholds, expected):
    results = [{"a": comparison(0.1), "b": comparison(0.2)}]
    results.append({"a": comparison(0.5), "b": comparison(1.0)})
    assert any_above(results, thresholds) == expected
