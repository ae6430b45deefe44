"""Measure every step of every ladder on every photograph, in each context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.progress import track
from dps_train.evaluate.ladders.changes.codecs import missing_encoder
from dps_train.evaluate.ladders.changes.geometry import middle
from dps_train.evaluate.ladders.kinds import GROSS, KINDS, MEDIUM, Gross, Kind
from dps_train.evaluate.ladders.photographs import Photograph
from dps_train.evaluate.pair_contexts import PairContext
from dps_train.evaluate.pair_target import Doubles, MeasuresPairs, PairMeasures

PIXELS_AT_ONCE = 1 << 26
"""Maximum pixels of changed images held at a time: 200 MB."""


@dataclass(frozen=True, eq=False)
class Climbed:
    """One ladder in C contexts on P photographs, S steps each.

    Attributes:
        kind: of change.
        distances: [C, P, S].
        parts: at the medium step [C, P, K+1]; None where the metric gives none.
        strengths: at the medium step [P, K+1]; None where the metric gives none.
        directions: at the medium step [P, K+1]; None where the metric gives none.
    """

    kind: Kind
    distances: Doubles
    parts: Doubles | None
    strengths: Doubles | None
    directions: Doubles | None


@dataclass(frozen=True, eq=False)
class Far:
    """A gross change in C contexts on P photographs.

    Attributes:
        gross: the change.
        whole: distances from the whole photograph [C, P].
        middle: distances from its middle [C, P], to compare with changes of geometry.
    """

    gross: Gross
    whole: Doubles
    middle: Doubles


def kinds_here(kinds: Sequence[Kind] = KINDS) -> tuple[list[Kind], dict[str, str]]:
    """Return the kinds that can be made on this machine, and why others are left out."""
    missing = {kind.name: missing_encoder(kind.name) for kind in kinds}
    left_out = {name: why for name, why in missing.items() if why is not None}
    return [kind for kind in kinds if kind.name not in left_out], left_out


def climb(
    target: MeasuresPairs,
    contexts: Sequence[PairContext],
    photographs: Sequence[Photograph],
    kinds: Sequence[Kind],
) -> tuple[list[Climbed], list[Far]]:
    """Measure every step of every ladder, and the gross changes.

    Args:
        target: the metric.
        contexts: at least one.
        photographs: at least one, of any sizes.
        kinds: the ladders.

    Returns:
        One entry a kind, and one for each of `GROSS`, in their order.
    """
    found = [
        _climb_one(target, contexts, photograph, kinds)
        for photograph in track(photographs, "photographs")
    ]
    climbed = [
        Climbed(
            kind,
            _stacked([one[row].distances for one, _ in found]),
            *(
                _stacked_or_none([getattr(one[row], name) for one, _ in found], axis)
                for name, axis in (("parts", 1), ("strengths", 0), ("directions", 0))
            ),
        )
        for row, kind in enumerate(kinds)
    ]
    far = [
        Far(gross, *(_stacked([both[place][row] for _, both in found]) for place in range(2)))
        for row, gross in enumerate(GROSS)
    ]
    return climbed, far


@dataclass(frozen=True, eq=False)
class _One:
    """One ladder on one photograph: `Climbed` without its photographs."""

    distances: Doubles
    parts: Doubles | None
    strengths: Doubles | None
    directions: Doubles | None


def _climb_one(
    target: MeasuresPairs,
    contexts: Sequence[PairContext],
    photograph: Photograph,
    kinds: Sequence[Kind],
) -> tuple[list[_One], tuple[Doubles, Doubles]]:
    """Return the ladders of one photograph, and the gross changes of the whole and the middle.

    Gross changes are [G, C].
    """
    importances = [context.importances for context in contexts]
    found: dict[str, _One] = {}
    far = []
    for cropped in (False, True):
        reference, other = photograph.pixels, photograph.other
        if cropped:
            reference, other = middle(reference), middle(other)
        pictures = [gross.change(reference, other) for gross in GROSS]
        measures = target.measure(reference, pictures, importances)
        far.append(np.stack([one.distances for one in measures], axis=1))
        some = [kind for kind in kinds if kind.cropped == cropped]
        for group in _groups(some, reference):
            changed = [kind.change(photograph, step) for kind in group for step in kind.steps]
            measures = target.measure(reference, changed, importances)
            start = 0
            for kind in group:
                rows = slice(start, start + len(kind.steps))
                found[kind.name] = _one(measures, rows)
                start = rows.stop
    return [found[kind.name] for kind in kinds], (far[0], far[1])


def _groups(kinds: Sequence[Kind], reference: Pixels) -> Iterator[list[Kind]]:
    """Yield ladders that are measured in one call, so that they share the reference."""
    pixels = reference.shape[0] * reference.shape[1]
    group: list[Kind] = []
    steps = 0
    for kind in kinds:
        if group and (steps + len(kind.steps)) * pixels > PIXELS_AT_ONCE:
            yield group
            group, steps = [], 0
        group.append(kind)
        steps += len(kind.steps)
    if group:
        yield group


def _one(measures: Sequence[PairMeasures], rows: slice) -> _One:
    medium = rows.start + MEDIUM
    parts = [one.parts[medium] for one in measures if one.parts is not None]
    # These do not depend on the context.
    strengths, directions = measures[0].strengths, measures[0].directions
    return _One(
        np.stack([one.distances[rows] for one in measures]),
        np.stack(parts) if parts else None,
        None if strengths is None else strengths[medium],
        None if directions is None else directions[medium],
    )


def _stacked(values: Sequence[Doubles]) -> Doubles:
    """Stack one array [C, ...] per photograph to [C, P, ...]."""
    return np.stack(values, axis=1)


def _stacked_or_none(values: Sequence[Doubles | None], axis: int) -> Doubles | None:
    present = [value for value in values if value is not None]
    return np.stack(present, axis=axis) if present else None
