"""Results as a report needs them: all pairs at once, with their numbers by context."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
    read_results,
    result_columns,
)
from dps_infer.errors import TableError


@dataclass(frozen=True)
class Measured:
    """A context that the results hold distances of.

    Attributes:
        label: its name; empty if the results state none.
        words: what it holds to be disruptive; empty if the results do not say.
        parts: the names of the parts of a distance; none if the results have no parts.
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
        distances: one a context; None if there is an error.
        parts: for each context one a part, in their order.
        identical: no pixel differs.
        notes: what was done to the images, in one line.
        error: why there are no numbers; empty if there are.
        other: what else the row holds, as text by column.
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
        metrics: those that were measured in, in the order of their columns.
        pairs: in the order of the file, at least one.
    """

    metrics: tuple[Measured, ...]
    pairs: tuple[Pair, ...]


def read(path: Path) -> Results:
    """Read a whole file of results.

    Raises:
        TableError: it cannot be read, is no file of results, has no rows, or rows of
            different contexts, whose distances must not be mixed.
    """
    columns = result_columns(path)
    pairs: list[Pair] = []
    spoken: dict[str, None] = {}
    for row in read_results(path):
        pairs.append(_pair(row, columns))
        if row[CONTEXT]:
            spoken[row[CONTEXT]] = None
    if not pairs:
        raise TableError(f"{path}: has no rows, expected at least one pair")
    if len(spoken) > 1:
        raise TableError(
            f"{path}: its rows were measured in different contexts ({', '.join(spoken)}): make "
            "a file for each, or measure all pairs in each with several --context or --ranking"
        )
    words = _words(next(iter(spoken), ""), list(columns.distances))
    metrics = tuple(
        Measured(label, said, tuple(columns.parts[key]))
        for key, (label, said) in zip(columns.distances, words, strict=True)
    )
    return Results(metrics, tuple(pairs))


def worst_first(pairs: Sequence[Pair], metric: int) -> list[int]:
    """Return the numbers of the pairs that have a distance, the largest first."""
    measured = [
        (-distance, number)
        for number, pair in enumerate(pairs)
        if (distance := pair.distances[metric]) is not None
    ]
    return [number for _, number in sorted(measured)]


def worst(results: Results, count: int) -> list[int]:
    """Return the numbers of the worst pairs, of several contexts in turn."""
    orders = [worst_first(results.pairs, metric) for metric in range(len(results.metrics))]
    in_turn: Iterator[int | None] = chain.from_iterable(zip_longest(*orders))
    found = dict.fromkeys(number for number in in_turn if number is not None)
    return list(found)[:count]


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


def _words(text: str, labels: list[str]) -> list[tuple[str, str]]:
    """Take the column ``context`` apart: for each context its label and its words.

    Labels and words are the users' own and may hold any of the separators, so that several
    are found by their labels, which the names of the columns give.
    """
    if labels == [""]:
        label, _, said = text.partition(": ")
        return [(label, said)]
    found = []
    for label, following in zip_longest(labels, labels[1:]):
        _, _, text = text.partition(f"{label}: ")
        said, _, _ = text.partition(f" | {following}: ") if following else (text, "", "")
        found.append((label, said))
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)
