"""What fitted importances mean, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dps_infer.ranking import OTHER
from dps_train.distortions import DISTORTIONS
from dps_train.importances import Fitted, Numbers

SURE = 0.9
"""Share of the possible importances that must agree before something is said."""

MANY = 30
"""From here on it does not matter how many times."""

_REFERENCES = {
    "rotate": "a turn by {} degrees",
    "translate": "a shift by {} of the side",
    "darken": "losing {} of the brightness",
    "color": "a hue turned by {} of the circle",
    "blur": "a blur of sigma {} on 64 pixels",
    "zoom": "enlarging by {}",
}
_PARTS = {0.25: "a quarter", 0.5: "half"}


def phrases(names: Sequence[str]) -> list[str]:
    """Say what has an amount of 1, for each name of an amount.

    >>> phrases(["translate", "other"])
    ['a shift by a quarter of the side', 'another kind of change']
    """
    said = {
        distortion.name: _REFERENCES.get(distortion.name, distortion.name).format(
            _PARTS.get(distortion.reference, f"{distortion.reference:g}")
        )
        for distortion in DISTORTIONS
    }
    return [{**said, OTHER: "another kind of change"}[name] for name in names]


def describe(names: Sequence[str], fitted: Fitted, samples: Numbers) -> list[str]:
    """Say what counts how many times as much as what, as far as that is sure.

    Args:
        names: of the amounts [A].
        fitted: the importances.
        samples: others that are possible [S, A].
    """
    words = phrases(names)
    order = np.argsort(-fitted.mode)
    most = int(order[0])
    more = samples[:, most, None] / samples
    sure = (more > 1).mean(axis=0) >= SURE
    said = [
        f"{_times(float(np.median(more[:, less])))} {words[less]},"
        for less in order[1:]
        if sure[less]
    ]
    if not said:
        return ["Nothing is clear yet."]
    said[-1] = f"{said[-1][:-1]}."
    unsure = [words[less] for less in order[1:] if not sure[less]]
    if unsure:
        said.append(f"Whether it counts more than {' or '.join(unsure)} is not clear yet.")
    return [f"{words[most].capitalize()} counts", *said]


def _times(ratio: float) -> str:
    if ratio >= MANY:
        return f"more than {MANY} times as much as"
    if ratio < 1.25:
        return "a little more than"
    return f"about {ratio:.{0 if ratio >= 3 else 1}f} times as much as"
