"""The kinds of change that the toolkit has names for."""

from __future__ import annotations

from dataclasses import dataclass

from dps_infer.contexts import ranking


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    Attributes:
        name: how contexts name it.
        unit: of its strength; None where it has none.
        directions: what the candidate is, where the direction is positive and where it is
            negative; None for a kind without directions.
    """

    name: str
    unit: str | None = None
    directions: tuple[str, str] | None = None


KINDS = (
    Kind("rotate", "degrees", ("clockwise", "counterclockwise")),
    Kind("translate", "pixels"),
    Kind("darken", None, ("darker", "brighter")),
    Kind("color"),
    Kind("blur", "pixels of sigma", ("softer", "sharper")),
    Kind("zoom", "percent", ("larger", "smaller")),
    Kind("noise", "sigma of 255", ("noisier", "cleaner")),
    Kind("contrast", None, ("more contrast", "less contrast")),
    Kind("saturation", None, ("more saturated", "less saturated")),
    Kind("tint"),
    Kind("compression", "JPEG quality"),
    Kind("warp"),
    Kind("content"),
    Kind("mirror"),
)
"""The paper's six, in its order, and eight more."""

KIND_NAMES = (*(kind.name for kind in KINDS), ranking.OTHER)
"""The names of all presences, `other` last."""

assert KIND_NAMES[:-1] == ranking.KINDS
