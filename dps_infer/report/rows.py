"""The content of a file of results: all pairs at once, with their numbers by context."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from dps_infer.bulk.results import (
    CANDIDATE,
    CONTEXT,
    ERROR,
    IDENTICAL,
    NOTES,
    REFERENCE,
    ResultColumns,
    read_rows,
    result_columns,
)
from dps_infer.errors import TableError


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
class Pair:
    """One row of results.

    Attributes:
        reference: the first image, as the results name it.
        candidate: the second image.
        distances: one per context; None if there is an error.
        parts: per context, one number per part, in their order.
        identical: no pixel differs.
        notes: how the images were converted, in one line.
        error: the reason why there are no numbers; empty if there are.
        other: the other columns of the row as text, by name.
    """

    reference: str
    candidate: str
    distances: tuple[float | None, ...]
    parts: tuple[tuple[float | None, ...], ...]
    identical: bool
    notes: str
    error: str
    other: dict[str, str]


@dataclass(frozen=True)
class Results:
    """A file of results.

    Attributes:
        contexts: in the order of their columns.
        pairs: in the order of the file, at least one.
    """

    contexts: tuple[MeasuredContext, ...]
    pairs: tuple[Pair, ...]

    def worst(self, count: int) -> list[int]:
        """Return the numbers of the worst pairs, taken from the contexts in turn."""
        orders = [self._worst_first(context) for context in range(len(self.contexts))]
        in_turn: Iterator[int | None] = chain.from_iterable(zip_longest(*orders))
        found = dict.fromkeys(number for number in in_turn if number is not None)
        return list(found)[:count]

    def _worst_first(self, context: int) -> list[int]:
        """Return the numbers of the pairs with a distance, the largest distance first."""
        measured = [
            (-distance, number)
            for number, pair in enumerate(self.pairs)
            if (distance := pair.distances[context]) is not None
        ]
        return [number for _, number in sorted(measured)]


def load_results(path: Path) -> Results:
    """Read a whole file of results.

    Raises:
        TableError: it cannot be read, is not a file of results, has no rows, or has rows of
            different contexts, whose distances must not be mixed.
    """
    columns = result_columns(path)
    pairs: list[Pair] = []
    described: dict[str, None] = {}
    for row in read_rows(path, columns):
        pairs.append(_pair(row, columns))
        if row[CONTEXT]:
            described[row[CONTEXT]] = None
    if not pairs:
        raise TableError(f"{path}: has no rows, expected at least one pair")
    if len(described) > 1:
        raise TableError(
            f"{path}: its rows were measured in different contexts ({', '.join(described)}): make "
            "a file for each, or measure all pairs in each with several --context or --ranking"
        )
    words = _split_description(next(iter(described), ""), list(columns.distances))
    contexts = tuple(
        MeasuredContext(label, text, tuple(columns.parts[key]))
        for key, (label, text) in zip(columns.distances, words, strict=True)
    )
    return Results(contexts, tuple(pairs))


def _pair(row: Mapping[str, Any], columns: ResultColumns) -> Pair:
    distances = tuple(_finite(row[name]) for name in columns.distances.values())
    error = row[ERROR]
    if None in distances and not error:
        error = "the results hold no distance of this pair"
    return Pair(
        reference=_text(row[REFERENCE]),
        candidate=_text(row[CANDIDATE]),
        distances=distances,
        parts=tuple(
            tuple(_finite(row[name]) for name in parts.values()) for parts in columns.parts.values()
        ),
        identical=row[IDENTICAL] is True,
        notes=row[NOTES],
        error=error,
        other={
            name: _text(row[name]) for name in columns.inputs if name not in (REFERENCE, CANDIDATE)
        },
    )


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
