"""How well the metric knows a person: the share of their answers that it foretells.

Every fourth question is a check: it is drawn at random, while the others are chosen because their
answer is uncertain. Before the person answers a check, the importances fitted so far decide it. So
the share of checks that are decided as the person then does estimates the agreement on any
triplets like these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EVERY = 4
"""One question of so many is a check. Checks teach less: simulated people agree to 0.938 after 20
answers, and to 0.947 if all questions are chosen (docs/judgements.md)."""

LAST = 20
"""Number of checks that count, the latest ones: earlier ones were decided by fewer answers."""

NORMAL_QUANTILE = 1.959964
"""Of the standard normal distribution at 97.5 %: an interval misses in one of twenty cases."""


@dataclass(frozen=True)
class Foretold:
    """Checks that were decided as the person did.

    Attributes:
        right: their number.
        checks: the number of checks that were answered, other than by "cannot say".
        low: the lower end of the 95 % interval of the share, 0 to 1.
        high: its upper end.
    """

    right: int
    checks: int
    low: float
    high: float


def is_check(number: int) -> bool:
    """Return whether a question is a check, by the number of answers before it."""
    return number % EVERY == EVERY - 1


def foretold(hits: list[bool]) -> Foretold:
    """Return the share of the latest checks that were decided as the person did.

    >>> known = foretold([True] * 17 + [False] * 3)
    >>> f"{known.right} of {known.checks}, {known.low:.2f} to {known.high:.2f}"
    '17 of 20, 0.64 to 0.95'
    """
    latest = hits[-LAST:]
    low, high = wilson_interval(sum(latest), len(latest))
    return Foretold(sum(latest), len(latest), low, high)


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score method.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22 (1927). With a count of 0 it is all of [0, 1].
    """
    if count == 0:
        return 0.0, 1.0
    share, square = right / count, NORMAL_QUANTILE**2
    middle = share + square / (2 * count)
    spread = NORMAL_QUANTILE * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    scale = 1 + square / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
