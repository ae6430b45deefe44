"""Two contexts side by side, and their mean."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dps_infer.contexts.context import Context, importance_context
from dps_infer.contexts.ranking import OTHER, SIZE
from dps_infer.contexts.saved import check_saved
from dps_infer.errors import UsageError


@dataclass(frozen=True)
class Agreement:
    """Two contexts side by side.

    Attributes:
        importances: of each context, by name, scaled so that the largest is 1.
        alike: pairs of distortions that both contexts order the same way, or both tie.
        pairs: all pairs of distortions, without `other` and `size`.
    """

    importances: tuple[dict[str, float], dict[str, float]]
    alike: int
    pairs: int


def compare(first: Context, second: Context) -> Agreement:
    """Put two contexts side by side.

    Raises:
        RankingError: a context is not valid for the distortions of both.
    """
    names = tuple(dict.fromkeys([*first.distortions, *second.distortions]))
    given = [context.for_distortions(names).importances for context in (first, second)]
    # The size is among the importances only where it counts.
    columns = dict.fromkeys(name for importances in given for name in importances)
    one, two = (
        _scaled({name: importances.get(name, 0.0) for name in columns}) for importances in given
    )
    pairs = list(itertools.combinations(names, 2))
    alike = sum(_order(one[a], one[b]) == _order(two[a], two[b]) for a, b in pairs)
    return Agreement((one, two), alike, len(pairs))


def merge(
    first: Context, second: Context, *, weight: float, name: str, why: str | None = None
) -> Context:
    """Merge two contexts: the weighted geometric mean of their importances.

    A distortion that counts 8 times as much in the first and twice as much in the second counts
    4 times as much in an even merge. One that does not count in either of them does not count in
    the merge.

    Args:
        first: has the weight 1 - `weight`.
        second: has the weight `weight`.
        weight: in [0, 1].
        name: of the new context.
        why: its reasons; None joins those of the two.

    Returns:
        A context of importances, the largest of which is 1.

    Raises:
        UsageError: the weight is out of range, the name is not valid, or no distortion counts in
            both.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"expected a weight from 0 (all of the first) to 1, got {weight:g}")
    one, two = compare(first, second).importances
    mean = {part: one[part] ** (1 - weight) * two[part] ** weight for part in one}
    if not any(mean.values()):
        raise UsageError(
            f"nothing counts both in {first.name} and in {second.name}, so nothing would in the "
            "merge: raise an importance in one of them"
        )
    context = importance_context(_scaled(mean), [part for part in one if part not in (OTHER, SIZE)])
    return check_saved(
        replace(
            context,
            name=name,
            why=why or f"{first.name}: {first.why}\n{second.name}: {second.why}",
            origin=f"merged from {first.name} and {second.name}, "
            f"weights {1 - weight:g} and {weight:g}",
        )
    )


def _scaled(importances: Mapping[str, float]) -> dict[str, float]:
    largest = max(importances.values())
    return {name: value / largest for name, value in importances.items()}


def _order(first: float, second: float) -> int:
    """Return -1, 0 or 1; a rounding error makes no order."""
    return 0 if math.isclose(first, second) else 1 if first > second else -1
