"""Agreement of a distance with the judgements that an evaluation is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dps_train.judgements.read_triplets import read_triplets
from dps_train.judgements.scoring import BappsScores, DistanceFunction, score_bapps, score_triplets


@dataclass(frozen=True)
class TripletScores:
    """Share of judgements that a distance agrees with, in [0, 1].

    Attributes:
        agreement: see `dps_train.judgements.scoring.two_afc_agreement`.
        ceiling: the agreement of always answering as the majority of the judges did.
        triplets: how many there are.
    """

    agreement: float
    ceiling: float
    triplets: int


@dataclass(frozen=True)
class JudgementScores:
    """Scores of a distance by judgements; None for judgements that were not given."""

    bapps: BappsScores | None
    triplets: TripletScores | None


def score_judgements(
    distance: DistanceFunction,
    *,
    bapps: Path | None,
    triplets: Path | None,
    note: Callable[[str], None],
) -> JudgementScores:
    """Score a distance by BAPPS (a folder) and by triplets (a CSV file), at each image's own size.

    `note` receives one line about triplets that were judged both ways.

    Raises:
        DpsError: judgements or images are missing or wrong.
    """
    # The whole CSV file is checked before anything is scored.
    read = None if triplets is None else read_triplets(triplets, note)
    bapps_scores = None if bapps is None else score_bapps(bapps, distance)
    if read is None:
        return JudgementScores(bapps_scores, None)
    scores = TripletScores(score_triplets(read, distance), read.ceiling, len(read))
    return JudgementScores(bapps_scores, scores)
