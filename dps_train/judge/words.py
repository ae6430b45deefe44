"""Fitted importances in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.contexts.ranking import OTHER, SIZE
from dps_train.data.crops import TRAINING_SIZE
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.judgements.importances import FittedImportances, Numbers

SURE = 0.9
"""Share of the posterior samples that must agree before a sentence states something."""

MANY = 30
"""Ratios above this are only described as `more than` it."""

_FRACTIONS = {0.0625: "a sixteenth", 0.25: "a quarter", 0.5: "half"}
_PHRASES = {
    "rotate": "a rotation by {} degrees",
    "translate": "a shift by {} of the side",
    "darken": "a loss of {} of the brightness",
    "color": "a hue shift by {} of the circle",
    "blur": "a blur by {} of the side",
    "zoom": "an enlargement by {}",
}
"""Phrases for the six; others are described by their name, strength and unit."""


@dataclass(frozen=True)
class Explanation:
    """A summary of importances, restricted to certain statements.

    Attributes:
        most: the beginning of a sentence about the most important change, which each entry of
            `times` ends; if there is none, a sentence that nothing is clear.
        times: how many times as much it counts as another change.
        unclear: a sentence about comparisons that are not clear yet, or empty.
    """

    most: str
    times: tuple[str, ...] = ()
    unclear: str = ""


def amount_phrases(
    names: Sequence[str], distortions: Iterable[Distortion] = DISTORTIONS
) -> list[str]:
    """Describe the change whose amount is 1, for each name of an amount.

    A name that is neither `other` nor `size` nor a distortion's is returned unchanged.

    >>> amount_phrases(["translate", "other", "spots"])
    ['a shift by a quarter of the side', 'another kind of change', 'spots']
    """
    phrases = {distortion.name: _phrase(distortion) for distortion in distortions}
    phrases[OTHER] = "another kind of change"
    phrases[SIZE] = "a change of any kind"
    return [phrases.get(name, name) for name in names]


def explain_importances(
    phrases: Sequence[str], fitted: FittedImportances, samples: Numbers
) -> Explanation:
    """Explain how many times as much the most important change counts as the others.

    `samples` [S, A] are importances from the posterior; `phrases` describe the amounts [A].
    """
    order = np.argsort(-fitted.mode)
    most = int(order[0])
    ratios = samples[:, most, None] / samples
    sure = (ratios > 1).mean(axis=0) >= SURE
    times = [
        f"{_times(float(np.median(ratios[:, less])))} {phrases[less]}"
        for less in order[1:]
        if sure[less]
    ]
    if not times:
        return Explanation("Nothing is clear yet.")
    unsure = [phrases[less] for less in order[1:] if not sure[less]]
    unclear = ""
    if unsure:
        unclear = f"Whether it counts more than {_any_of(unsure)} is not clear yet."
    subject = phrases[most]
    return Explanation(f"{subject[0].upper()}{subject[1:]} counts", tuple(times), unclear)


def _phrase(distortion: Distortion) -> str:
    if distortion.name not in _PHRASES:
        return f"{distortion.name} of strength {distortion.reference:g} ({distortion.unit})"
    reference = distortion.reference / (TRAINING_SIZE if distortion.in_pixels else 1)
    return _PHRASES[distortion.name].format(_FRACTIONS.get(reference, f"{reference:g}"))


def _times(ratio: float) -> str:
    if ratio >= MANY:
        return f"more than {MANY} times as much as"
    if ratio < 1.25:
        return "a little more than"
    return f"about {ratio:.{0 if ratio >= 3 else 1}f} times as much as"


def _any_of(phrases: Sequence[str]) -> str:
    *others, last = phrases
    return f"{', '.join(others)} or {last}" if others else last
