"""How far a distance agrees with judgements of people that are given to an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dps_train.judgements.scoring import BappsScores, DistanceFunction, score_bapps, score_triplets
from dps_train.judgements.triplets import read_triplets


@dataclass(frozen=True)
class TripletScores:
    """Share of judgements that a distance agrees with, in [0, 1].

    Attributes:
        agreement: see `dps_train.judgements.scoring.two_afc_agreement`.
        ceiling: of whoever always answers as the majority of the judges did.
        triplets: how many there are.
    """

    agreement: float
    ceiling: float
    triplets: int


@dataclass(frozen=True)
class People:
    """What people said, and a distance with them; None where that was not asked."""

    bapps: BappsScores | None
    triplets: TripletScores | None


def measure_people(
    distance: DistanceFunction,
    *,
    bapps: Path | None,
    triplets: Path | None,
    note: Callable[[str], None],
) -> People:
    """Measure a distance by judgements, each pair of images at its own size.

    Args:
        distance: of decoded images.
        bapps: the folder that holds 2afc and jnd.
        triplets: a CSV file of judgements.
        note: is told in one line of triplets that were judged both ways.

    Raises:
        DpsError: judgements or images that are missing or wrong.
    """
    # A CSV file is checked as a whole before anything is scored.
    judged = None if triplets is None else read_triplets(triplets, note)
    return People(
        bapps=None if bapps is None else score_bapps(bapps, distance),
        triplets=None
        if judged is None
        else TripletScores(
            agreement=score_triplets(judged, distance),
            ceiling=float(np.mean([max(judge, 1 - judge) for judge in judged.judge])),
            triplets=len(judged),
        ),
    )
