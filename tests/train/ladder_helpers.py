"""Photographs made on the spot, and a metric whose distances are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from train_helpers import seeded

from dps_infer.arrays import Pixels
from dps_train.data.dead_leaves import dead_leaves
from dps_train.evaluate.ladders.photographs import Photograph
from dps_train.evaluate.pair_target import PairTarget, _Seen


def leaves(height: int, width: int, seed: int = 0) -> Pixels:
    """A picture with edges, flat parts and colors."""
    return dead_leaves(max(height, width), seeded(seed), leaves=150)[:height, :width].copy()


def photograph(height: int = 150, width: int = 190, seed: int = 0, name: str = "one") -> Photograph:
    return Photograph(name, leaves(height, width, seed), leaves(height, width, seed + 100), seed)


def write_photographs(folder: Path, count: int, height: int = 132, width: int = 150) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        shape = (height, width) if number % 2 else (width, height)
        pixels = leaves(*shape, seed=number)
        assert cv2.imwrite(str(folder / f"{number}.png"), pixels[..., ::-1])
    return folder


class BrightnessTarget(PairTarget):
    """Distance: how much darker or brighter the mean is, times a factor of the reference.

    The factor is the reference's mean, so that evenness is known. The amount is named darken for a
    darker candidate and other for a brighter one.
    """

    name = "brightness"
    kinds = ("darken", "blur")
    part_names = ("darken", "blur", "other")
    own = None
    tied = None
    has_size = False

    def _see(self, reference: Pixels, candidates: Sequence[Pixels]) -> _Seen:
        mean = reference.mean()
        change = np.array([candidate.mean() - mean for candidate in candidates])
        change[np.abs(change) < 1e-9] = 0
        amounts = np.zeros((len(candidates), 3))
        amounts[:, 0] = np.maximum(-change, 0) * mean
        amounts[:, 2] = np.maximum(change, 0) * mean
        return _Seen(amounts.sum(axis=1), amounts)
