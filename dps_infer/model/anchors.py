"""Read a distance beside well-known changes: "about as different as JPEG quality 35".

A context file holds *ladders*: the amounts that the metric reported for rising steps of a change of
typical photographs. In a context, each step has a typical distance, the median over the
photographs; a distance lies between two steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.model.manifest import Ladder


@dataclass(frozen=True)
class Anchor:
    """A well-known change that is about as different as a pair of images.

    Attributes:
        change: its name and unit, for people: ``JPEG quality``.
        value: of the change, interpolated; its faintest or strongest step where `beyond` is not 0.
        beyond: -1 if the distance is below that of the faintest step, 1 if it is above that of the
            strongest, else 0.
    """

    change: str
    value: float
    beyond: int


@dataclass(frozen=True)
class Scale:
    """A ladder in a context.

    Attributes:
        change: see `Anchor`.
        steps: the strengths, the faintest first.
        distances: the typical distance of each, rising.
    """

    change: str
    steps: tuple[float, ...]
    distances: tuple[float, ...]


def scales(
    ladders: Sequence[Ladder], columns: Sequence[str], importances: Mapping[str, float]
) -> list[Scale]:
    """Return the ladders of a file in a context; those that it sees nothing of are left out.

    Args:
        ladders: of the file.
        columns: names of the amounts.
        importances: the context.
    """
    weights = np.array([importances.get(name, 0.0) for name in columns])
    found = []
    for ladder in ladders:
        typical = np.median(np.asarray(ladder.amounts) @ weights, axis=1)
        rising = np.maximum.accumulate(typical)
        if rising[-1] > 0:
            found.append(Scale(ladder.name, tuple(ladder.steps), tuple(rising.tolist())))
    return found


def anchor(distance: float, scale: Scale) -> Anchor:
    """Return where a distance lies on a ladder.

    >>> anchor(0.3, Scale("JPEG quality", (90, 50, 10), (0.1, 0.2, 0.6)))
    Anchor(change='JPEG quality', value=40.0, beyond=0)
    """
    place = bisect_left(scale.distances, distance)
    if place == len(scale.distances):
        return Anchor(scale.change, scale.steps[-1], 1)
    if place == 0:
        return Anchor(scale.change, scale.steps[0], 0 if distance == scale.distances[0] else -1)
    low, high = scale.distances[place - 1], scale.distances[place]
    share = (distance - low) / (high - low)
    step = scale.steps[place - 1] + share * (scale.steps[place] - scale.steps[place - 1])
    return Anchor(scale.change, float(step), 0)
