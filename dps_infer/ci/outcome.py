"""The outcome of a pair as continuous integration sees it: passed, failed, or an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from dps_infer.bulk.folder import PairScore
from dps_infer.bulk.results import CANDIDATE, DISTANCE, ERROR, REFERENCE
from dps_infer.compare.metric import Metric
from dps_infer.files.tables import Row
from dps_infer.show.words import describe, formula, verdict


class State(str, Enum):
    """Whether a pair passed, is above its threshold, or could not be compared."""

    failed = "failed"
    error = "error"
    passed = "passed"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a pair.

    Attributes:
        name: of the pair.
        file: the file to point at.
        state: what came out.
        message: in one line: the distance and its parts, or the reason of the error.
        details: more lines about a failure.
        distance: None if there is none.
        threshold: None without one.
        badness: larger for worse pairs: the ratio to the threshold, or else the distance.
    """

    name: str
    file: str
    state: State
    message: str
    details: tuple[str, ...] = ()
    distance: float | None = None
    threshold: float | None = None
    badness: float = 0.0


def folder_outcome(scored: PairScore, metrics: Mapping[str, Metric], name: str) -> Outcome:
    """Return the outcome of a pair of two folders.

    In several contexts, the numbers are those of the first one that it failed in, or the first.
    """
    pair = scored.pair
    if scored.error:
        there = pair.reference if os.path.exists(pair.reference) else pair.candidate
        return Outcome(name, os.fspath(there), State.error, scored.error)
    limits = scored.thresholds
    above = [
        label
        for label, comparison in scored.comparisons.items()
        if (limit := limits.get(label)) is not None and comparison.gated > limit
    ]
    label = (above or list(scored.comparisons))[0]
    comparison, limit = scored.comparisons[label], limits.get(label)
    message = formula(comparison, threshold=limit)
    details: list[str] = []
    if limit is not None:
        message += f": {verdict(comparison, limit)}"
    for one in above:
        details += describe(scored.comparisons[one], metrics[one], threshold=limits.get(one))
    return Outcome(
        name,
        os.fspath(pair.reference),
        State.failed if above else State.passed,
        message,
        tuple(details),
        comparison.gated,
        limit,
        comparison.gated / limit if limit else comparison.gated,
    )


def row_outcome(row: Row) -> Outcome:
    """Return the outcome of a row of results (`dps_infer.bulk.results.read_results`)."""
    reference, candidate = (str(row[name] or "") for name in (REFERENCE, CANDIDATE))
    name = f"{reference} -> {candidate}"
    if row[ERROR]:
        return Outcome(name, candidate, State.error, str(row[ERROR]))
    distances = (value for key, value in row.items() if key.split(".")[0] == DISTANCE)
    distance = float(next(value for value in distances if value is not None))
    message = f"distance {distance:.3g}"
    return Outcome(name, candidate, State.passed, message, distance=distance, badness=distance)
