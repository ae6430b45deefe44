"""Scored pairs made on the spot: of people who see how far an image was changed, or at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from train_helpers import photos
from triplet_helpers import write_csv, write_png

from dps_train.agreement.scores.scored_pairs import ScoredPairs

COLUMNS = ("reference", "candidate", "score", "kind", "level")


def write_scores(
    folder: Path, *, references: int = 3, levels: int = 4, side: int = 64, higher: bool = True
) -> Path:
    """Write scores.csv and images beside it: every reference darker and noisier, by steps.

    Scores are 5 minus the level where higher is better, else the level, plus a number of the
    reference that is not seen.
    """
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, image in enumerate(photos(references, side, side, seed=3).numpy()):
        write_png(folder / f"r{number}.png", image)
        for level in range(1, levels + 1):
            noise = rng.normal(0, 12 * level, image.shape)
            changed = {
                "dark": image * (1 - 0.15 * level),
                "noise": np.clip(image + noise, 0, 255),
            }
            for kind, pixels in changed.items():
                name = f"{kind}{number}-{level}.png"
                write_png(folder / name, pixels.astype(np.uint8))
                score = (5 - level if higher else level) + 0.1 * number
                rows.append((f"r{number}.png", name, score, kind, level))
    return write_csv(folder / "scores.csv", rows, COLUMNS)


def scored(
    scores: Sequence[float], groups: Sequence[int], *, higher: bool = False, kinds: str = ""
) -> ScoredPairs:
    """Return pairs without images."""
    return ScoredPairs(
        "made",
        tuple(Path(f"r{group}") for group in groups),
        tuple(Path(f"c{row}") for row in range(len(scores))),
        tuple(map(float, scores)),
        higher,
        tuple(kinds) if kinds else ("",) * len(scores),
    )
