"""Distances of several metrics on the same scored pairs: every image is decoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import DpsError
from dps_infer.progress import track
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.data.sources import read_pixels

Pixels: TypeAlias = NDArray[np.uint8]

CANDIDATES_AT_ONCE = 16
"""Candidates of one reference that are held in memory."""


@dataclass(frozen=True)
class Measure:
    """One or more metrics that share their work.

    Attributes:
        names: of the metrics.
        distances: from a reference uint8 RGB [H, W, 3] and its candidates, each of that size, to
            distances [metrics, candidates]; higher means more different.
    """

    names: tuple[str, ...]
    distances: Callable[[Pixels, Sequence[Pixels]], Floats]


def measure_pairs(pairs: ScoredPairs, measures: Sequence[Measure]) -> dict[str, Floats]:
    """Return the distances [N] of every metric, by its name.

    Raises:
        ImageError: an image cannot be decoded.
        DpsError: a distance is no finite number, or a metric does not take an image of this size.
    """
    found = {name: np.full(len(pairs), np.nan) for measure in measures for name in measure.names}
    for rows in track(_batches(pairs), f"pairs of {pairs.source}"):
        reference = read_pixels(pairs.references[rows[0]])
        candidates = [read_pixels(pairs.candidates[row]) for row in rows]
        for measure in measures:
            distances = measure.distances(reference, candidates)
            for name, some in zip(measure.names, distances, strict=True):
                found[name][rows] = some
    for name, values in found.items():
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            raise DpsError(
                f"{name} gives {values[broken[0]]} for {pairs.candidates[broken[0]]}: expected a "
                "finite distance"
            )
    return found


def _batches(pairs: ScoredPairs) -> list[list[int]]:
    """Return the pairs' numbers, some of one reference at a time."""
    by_reference: dict[int, list[int]] = {}
    for row, number in enumerate(pairs.groups.tolist()):
        by_reference.setdefault(number, []).append(row)
    return [
        rows[start : start + CANDIDATES_AT_ONCE]
        for rows in by_reference.values()
        for start in range(0, len(rows), CANDIDATES_AT_ONCE)
    ]
