"""Two contexts side by side and merged, where the size counts in one or in both."""

from __future__ import annotations

import pytest

from dps_infer.contexts.combine import compare, merge
from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import KINDS
from dps_infer.contexts.saved import saved_context
from dps_infer.errors import UsageError


def weighted(name: str, **importances: float) -> Context:
    return saved_context(name, f"Why {name}.", "me", importances=importances)


GENERAL = weighted("general", size=2)


def test_a_context_of_the_size_beside_one_of_kinds():
    sides = compare(GENERAL, weighted("b", blur=4, noise=2))
    first, second = sides.importances
    assert list(first) == list(second) == [*KINDS, "other", "size"]
    assert {name: value for name, value in first.items() if value} == {"size": 1}
    assert {name: value for name, value in second.items() if value} == {"blur": 1, "noise": 0.5}
    # The 12 kinds that count in neither are tied in both.
    assert (sides.alike, sides.pairs) == (12 * 11 // 2, 14 * 13 // 2)


def test_the_size_is_not_listed_where_it_counts_in_neither():
    sides = compare(weighted("a", blur=1), weighted("b", noise=1))
    assert all(list(side) == [*KINDS, "other"] for side in sides.importances)


def test_sizes_are_merged():
    merged = merge(GENERAL, weighted("b", size=1, blur=4), weight=0.5, name="c")
    # Scaled, the sizes are 1 and 1/4; blur does not count in the first.
    assert {name: value for name, value in merged.importances.items() if value} == {"size": 1}
    both = merge(weighted("a", size=1, blur=1), weighted("b", size=1, blur=4), weight=0.5, name="c")
    assert both.importances["size"] == pytest.approx(0.5)
    assert both.importances["blur"] == pytest.approx(1)


def test_the_size_and_kinds_have_nothing_in_common():
    with pytest.raises(UsageError, match="nothing counts both in general and in b"):
        merge(GENERAL, weighted("b", blur=1), weight=0.5, name="c")
