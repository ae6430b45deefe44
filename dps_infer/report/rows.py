"""The content of a file of results by column, with the numbers by context."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from dps_infer.bulk.results import (
    CANDIDATE,
    CONTEXT,
    ERROR,
    IDENTICAL,
    NOTES,
    REFERENCE,
    read_rows,
    result_columns,
)
from dps_infer.errors import TableError

NO_DISTANCE = "the results hold no distance of this pair"
"""Where rules gave a pair its own context, the columns of the others are empty."""


@dataclass(frozen=True)
class MeasuredContext:
    """A context that the results hold distances of.

    Attributes:
        label: its name; empty if the results state none.
        words: its description; empty if the results have none.
        parts: the names of the parts of a distance; empty if the results have none.
    """

    label: str
    words: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """The rows of results by column, in the order of the file. Every list has an item per pair.

    Attributes:
        reference: the first image, as the results name it.
        candidate: the second image.
        distance: per context; None if there is an error.
        parts: per context, one list per part.
        identical: no pixel differs.
        notes: how the images were converted, in one line.
        error: the reason why there are no numbers; empty if there are.
        other: the other columns as text, by name.
    """

    reference: list[str]
    candidate: list[str]
    distance: list[list[float | None]]
    parts: list[list[list[float | None]]]
    identical: list[bool]
    notes: list[str]
    error: list[str]
    other: dict[str, list[str]]


@dataclass(frozen=True)
class Results:
    """A file of results.

    Attributes:
        contexts: in the order of their columns.
        pairs: at least one.
    """

    contexts: tuple[MeasuredContext, ...]
    pairs: Pairs

    def worst(self, count: int) -> list[int]:
        """Return the numbers of the pairs with the largest distances, of each context in turn."""
        orders = [
            sorted(
                (number for number, distance in enumerate(distances) if distance is not None),
                key=lambda number, distances=distances: -distances[number],  # type: ignore[misc]
            )
            for distances in self.pairs.distance
        ]
        in_turn: Iterator[int | None] = chain.from_iterable(zip_longest(*orders))
        found = dict.fromkeys(number for number in in_turn if number is not None)
        return list(found)[:count]


def load_results(path: Path) -> Results:
    """Read a whole file of results.

    Raises:
        TableError: it cannot be read, is not a file of results, has no rows, or has rows of
            different contexts, whose distances must not be mixed.
    """
    columns = result_columns(path)
    rows = list(read_rows(path, columns))
    if not rows:
        raise TableError(f"{path}: has no rows, expected at least one pair")
    described = list(dict.fromkeys(row[CONTEXT] for row in rows if row[CONTEXT]))
    if len(described) > 1:
        raise TableError(
            f"{path}: its rows were measured in different contexts ({', '.join(described)}): make "
            "a file for each, or measure all pairs in each with several --context or --ranking"
        )
    distance = [[_finite(row[name]) for row in rows] for name in columns.distances.values()]
    pairs = Pairs(
        reference=[_text(row[REFERENCE]) for row in rows],
        candidate=[_text(row[CANDIDATE]) for row in rows],
        distance=distance,
        parts=[
            [[_finite(row[name]) for row in rows] for name in parts.values()]
            for parts in columns.parts.values()
        ],
        identical=[row[IDENTICAL] is True for row in rows],
        notes=[row[NOTES] for row in rows],
        error=[
            row[ERROR] or ("" if any(n is not None for n in numbers) else NO_DISTANCE)
            for row, numbers in zip(rows, zip(*distance, strict=True), strict=True)
        ],
        other={
            name: [_text(row[name]) for row in rows]
            for name in columns.inputs
            if name not in (REFERENCE, CANDIDATE)
        },
    )
    words = _split_description("".join(described), list(columns.distances))
    contexts = tuple(
        MeasuredContext(label, text, tuple(columns.parts[key]))
        for key, (label, text) in zip(columns.distances, words, strict=True)
    )
    return Results(contexts, pairs)


def _split_description(text: str, labels: list[str]) -> list[tuple[str, str]]:
    """Return the label and the description of each context in the column ``context``.

    Both are written by users and may contain any of the separators. Several contexts are
    therefore found by their labels, which the names of the columns give.
    """
    if labels == [""]:
        label, _, words = text.partition(": ")
        return [(label, words)]
    found = []
    for label, following in zip_longest(labels, labels[1:]):
        _, _, text = text.partition(f"{label}: ")
        words, _, _ = text.partition(f" | {following}: ") if following else (text, "", "")
        found.append((label, words))
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)
