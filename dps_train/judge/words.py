"""What fitted importances mean, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.contexts.ranking import OTHER
from dps_train.data.batches import TRAINING_SIZE
from dps_train.distortions.paper import DISTORTIONS, Distortion
from dps_train.judge.pool import in_pixels
from dps_train.judgements.importances import Fitted, Numbers

SURE = 0.9
"""Share of the possible importances that must agree before something is said."""

MANY = 30
"""From here on it does not matter how many times."""

_PARTS = {0.0625: "a sixteenth", 0.25: "a quarter", 0.5: "half"}
_FLUENT = {
    "rotate": "a turn by {} degrees",
    "translate": "a shift by {} of the side",
    "darken": "losing {} of the brightness",
    "color": "a hue turned by {} of the circle",
    "blur": "a blur by {} of the side",
    "zoom": "enlarging by {}",
}
"""How the six are said; all others are said in what they tell of themselves."""


@dataclass(frozen=True)
class Said:
    """What counts, as far as that is sure.

    Attributes:
        most: what counts more than what `times` lists; that nothing is clear, where it is empty.
        times: how many times as much as what.
        unclear: what is not clear yet; empty where all is.
    """

    most: str
    times: tuple[str, ...] = ()
    unclear: str = ""


def phrases(names: Sequence[str], distortions: Iterable[Distortion] = DISTORTIONS) -> list[str]:
    """Say what has an amount of 1, for each name of an amount.

    A name that is neither `other` nor a distortion's is said as it is.

    >>> phrases(["translate", "other", "spots"])
    ['a shift by a quarter of the side', 'another kind of change', 'spots']
    """
    said = {distortion.name: _phrase(distortion) for distortion in distortions}
    said[OTHER] = "another kind of change"
    return [said.get(name, name) for name in names]


def describe(words: Sequence[str], fitted: Fitted, samples: Numbers) -> Said:
    """Say what counts how many times as much as what.

    Args:
        words: the amounts' `phrases` [A].
        fitted: the importances.
        samples: others that are possible [S, A].
    """
    order = np.argsort(-fitted.mode)
    most = int(order[0])
    more = samples[:, most, None] / samples
    sure = (more > 1).mean(axis=0) >= SURE
    times = [
        f"{_times(float(np.median(more[:, less])))} {words[less]}"
        for less in order[1:]
        if sure[less]
    ]
    if not times:
        return Said("Nothing is clear yet.")
    unsure = [words[less] for less in order[1:] if not sure[less]]
    unclear = ""
    if unsure:
        unclear = f"Whether it counts more than {_any_of(unsure)} is not clear yet."
    subject = words[most]
    return Said(f"{subject[0].upper()}{subject[1:]} counts", tuple(times), unclear)


def _phrase(distortion: Distortion) -> str:
    if distortion.name not in _FLUENT:
        return f"{distortion.name} of strength {distortion.reference:g} ({distortion.unit})"
    reference = distortion.reference / (TRAINING_SIZE if in_pixels(distortion) else 1)
    return _FLUENT[distortion.name].format(_PARTS.get(reference, f"{reference:g}"))


def _times(ratio: float) -> str:
    if ratio >= MANY:
        return f"more than {MANY} times as much as"
    if ratio < 1.25:
        return "a little more than"
    return f"about {ratio:.{0 if ratio >= 3 else 1}f} times as much as"


def _any_of(things: Sequence[str]) -> str:
    *others, last = things
    return f"{', '.join(others)} or {last}" if others else last
