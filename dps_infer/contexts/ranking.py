"""Rankings and importances as people write them.

A *ranking* lists distortions from the least to the most disruptive to similarity;
it gives the order, not a rank number for each distortion. ``3,1,5,0,2,4`` and
``color,translate,zoom,rotate,darken,blur`` are the same ranking: color barely
matters, blur matters most. ``=`` ties two: ``color=translate,zoom``. ``*`` stands for every kind
that the ranking does not name: ``color,*,blur``.

*Importances* are what a metric computes with: one number >= 0 per distortion, and one for
everything else, by which each amount is multiplied. The importance of `SIZE` multiplies the
general distance, in which all kinds of change count alike.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from dps_infer.errors import RankingError

PAPER_DISTORTIONS = ("rotate", "translate", "darken", "color", "blur", "zoom")
"""The six distortions of the paper, in the order of their numbers."""

KINDS = (
    *PAPER_DISTORTIONS,
    *("noise", "contrast", "saturation", "tint", "compression", "warp", "content", "mirror"),
)
"""The kinds of change that the embedded metric names; the first six are the paper's."""

OTHER = "other"
"""The name of the amount of every change that the named distortions do not explain."""

SIZE = "size"
"""The name of the general distance, in which all kinds of change count alike."""

REST = "*"
"""In a ranking, every kind that it does not name, `OTHER` included."""

IMPORTANCE_RATIO = 2.5
"""Ratio of the importances of one place in a ranking and the place before it."""

SMALLEST_IMPORTANCE, LARGEST_IMPORTANCE = 1e-9, 1e9
"""Beyond this range, distances in single precision would vanish or overflow."""

Ranking = tuple[tuple[str, ...], ...]
"""Groups of tied distortion names, from the least to the most disruptive."""


def parse_ranking(text: str, names: Sequence[str]) -> Ranking:
    """Read a ranking written with numbers, names or both.

    Args:
        text: for example ``"3,1,5,0,2,4"``, ``"color=translate,blur"`` or ``"color,*,blur"``.
        names: the known distortions, in the order of their numbers. A ranking may name `OTHER` too.

    Returns:
        Groups of tied names, from the least to the most disruptive.

    Raises:
        RankingError: an unknown, repeated or missing distortion, or fewer than two places.

    >>> parse_ranking("1=color,0", ["rotate", "translate", "darken", "color"])
    (('translate', 'color'), ('rotate',))
    """
    groups = tuple(
        tuple(
            REST if word.strip() == REST else _known(word, [*names, OTHER])
            for word in group.split("=")
        )
        for group in text.split(",")
    )
    return check_ranking(groups, names)


def check_ranking(groups: Ranking, names: Sequence[str]) -> Ranking:
    """Return `groups` if they form a ranking of `names`; see `parse_ranking` for the errors."""
    listed = [name for group in groups for name in group]
    columns = (*names, OTHER)
    for name in listed:
        if name not in (*columns, REST):
            raise RankingError(f"unknown distortion {name!r}: expected one of {_choices(columns)}")
        if listed.count(name) > 1:
            raise RankingError(
                f"{name} appears {listed.count(name)} times in the ranking: "
                "list each distortion once"
            )
    if len(groups) < 2:
        raise RankingError(
            f"a ranking orders at least two distortions, got {format_ranking(groups) or 'none'}: "
            f"list them from the least to the most disruptive, like {_example(names)}"
        )
    return groups


def format_ranking(ranking: Ranking) -> str:
    """Write a ranking with names, as `parse_ranking` reads it.

    >>> format_ranking((("translate", "color"), ("rotate",)))
    'translate=color,rotate'
    """
    return ",".join("=".join(group) for group in ranking)


def describe_ranking(ranking: Ranking) -> str:
    """Describe a ranking in one line.

    >>> describe_ranking((("translate", "color"), ("rotate",)))
    'translate = color < rotate (rotate matters most)'
    """
    words = " < ".join(" = ".join(group) for group in ranking)
    most = ranking[-1]
    return f"{words} ({' and '.join(most)} matter{'s' if len(most) == 1 else ''} most)"


def without_rest(ranking: Ranking, names: Sequence[str]) -> Ranking:
    """Return a ranking with the kinds that `REST` stands for in its place.

    >>> without_rest((("color",), ("*",), ("blur",)), ["color", "blur", "zoom"])
    (('color',), ('zoom', 'other'), ('blur',))
    """
    named = {name for group in ranking for name in group}
    rest = tuple(name for name in (*names, OTHER) if name not in named)
    groups = (
        tuple(part for name in group for part in (rest if name == REST else (name,)))
        for group in ranking
    )
    return tuple(group for group in groups if group)


def ranked_pairs(ranking: Ranking) -> list[tuple[str, str]]:
    """Return every (less disruptive, more disruptive) pair of names; tied ones form none.

    >>> ranked_pairs((("translate", "color"), ("rotate",)))
    [('translate', 'rotate'), ('color', 'rotate')]
    """
    return [
        (less, more)
        for place, group in enumerate(ranking)
        for less in group
        for later in ranking[place + 1 :]
        for more in later
    ]


def ranking_importances(ranking: Ranking, names: Sequence[str]) -> dict[str, float]:
    """Turn a ranking into importances.

    Each place counts `IMPORTANCE_RATIO` times as much as the one before it, and the
    last place counts 1. Kinds that the ranking leaves out have the place of `REST`, or else the
    geometric mean of the first and the last place: neither ignored nor decisive.

    Returns:
        One importance > 0 for each of `names` and for `OTHER`, in this order.

    >>> ranking_importances((("color",), ("blur",)), ["color", "blur"])
    {'color': 0.4, 'blur': 1.0, 'other': 0.6324555320336759}
    """
    last = len(ranking) - 1
    placed = {
        name: IMPORTANCE_RATIO ** (place - last)
        for place, group in enumerate(ranking)
        for name in group
    }
    rest = placed.get(REST, IMPORTANCE_RATIO ** (-last / 2))
    return {name: placed.get(name, rest) for name in (*names, OTHER)}


def parse_importances(text: str, names: Sequence[str]) -> dict[str, float]:
    """Read importances given directly, for example ``"color=0.1,blur=5,other=0.2"``.

    Names that are left out get 0 and do not count at all.

    Returns:
        One finite importance >= 0 for each of `names` and for `OTHER`, in this order, and for
        `SIZE` if it is given.

    Raises:
        RankingError: an unknown or repeated name, a value that is no finite number >= 0,
            or nothing above 0.
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        word, equals, value = part.partition("=")
        if not equals:
            raise RankingError(
                f"{part.strip()!r} is no importance: expected name=number, like color=0.1,blur=5"
            )
        name = _known(word, [*names, OTHER, SIZE])
        if name in given:
            raise RankingError(f"{name} appears twice among the importances: name each once")
        given[name] = _importance(name, value)
    return check_importances(given, names)


def check_importances(importances: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return importances of `names` and `OTHER`, 0 where one is missing, and of `SIZE` if given.

    See `parse_importances` for the range and the errors.

    >>> check_importances({"blur": 5, "color": 0.1}, ["color", "blur"])
    {'color': 0.1, 'blur': 5.0, 'other': 0.0}
    """
    columns = (*names, OTHER, *([SIZE] if importances.get(SIZE) else []))
    for name in importances:
        if name not in (*columns, SIZE):
            raise RankingError(f"unknown distortion {name!r}: expected one of {_choices(columns)}")
    checked = {name: _importance(name, importances.get(name, 0.0)) for name in columns}
    if not any(checked.values()):
        raise RankingError("every importance is 0, so every distance would be 0: raise one")
    return checked


def format_importances(importances: Mapping[str, float]) -> str:
    """Write importances as `parse_importances` reads them, leaving out zeros.

    >>> format_importances({"color": 0.1, "blur": 5.0, "other": 0.0})
    'color=0.1,blur=5'
    """
    return ",".join(
        f"{name}={repr(float(value)).removesuffix('.0')}"
        for name, value in importances.items()
        if value
    )


def _importance(name: str, given: str | float) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if value != 0 and not SMALLEST_IMPORTANCE <= value <= LARGEST_IMPORTANCE:
        raise RankingError(
            f"the importance of {name} is {str(given).strip()!r}: expected 0, or a number from "
            f"{SMALLEST_IMPORTANCE:g} to {LARGEST_IMPORTANCE:g}"
        )
    return value


MOST_DIGITS = 4


def _known(word: str, names: Sequence[str]) -> str:
    """Return the name that a word (a name in any case, or a number) stands for."""
    word = word.strip().lower()
    if word in names:
        return word
    # isdecimal alone would let through digits of other scripts and surprise the reader.
    if word.isascii() and word.isdecimal() and len(word) <= MOST_DIGITS:
        number = int(word)
        if number < len(names) and names[number] not in (OTHER, SIZE):
            return names[number]
    close = difflib.get_close_matches(word, names, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise RankingError(f"unknown distortion {word!r}{hint}: expected one of {_choices(names)}")


def _choices(names: Sequence[str]) -> str:
    return ", ".join(
        name if name in (OTHER, SIZE) else f"{number} {name}" for number, name in enumerate(names)
    )


def _example(names: Sequence[str]) -> str:
    return ",".join(names[:3])
