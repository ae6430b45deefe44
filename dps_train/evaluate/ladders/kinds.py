"""The ladders: every kind of change with its steps, and the name that a metric has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dps_infer.arrays import Pixels
from dps_train.evaluate.ladders.changes import codecs, detail, geometry, tone
from dps_train.evaluate.ladders.photographs import Photograph

MILD = 1
"""The second step, which gross changes are compared with."""

THIRD = 2
"""The step that another picture should be beyond, on every ladder."""

MEDIUM = 3
"""The step in the middle, at which kinds are to be named."""


@dataclass(frozen=True)
class Kind:
    """A kind of change, from barely visible to gross.

    Attributes:
        name: of the ladder.
        unit: of the steps.
        steps: seven strengths, the faintest first.
        change: makes the changed image of a photograph.
        named_as: the name of a metric that has one for this kind; None where no metric is expected
            to have one.
        direction: 1 if the kind changes images in the direction of the name, -1 if opposite, as
            brighter does for darken. 0 where the name has no two directions.
        cropped: the reference is the middle of the photograph (`geometry.middle`).
        physical: the steps are in the unit in which a metric gives the strength of `named_as`.
    """

    name: str
    unit: str
    steps: tuple[float, ...]
    change: Callable[[Photograph, float], Pixels]
    named_as: str | None = None
    direction: int = 0
    cropped: bool = False
    physical: bool = False


KINDS = (
    Kind("jpeg", "quality", (95, 85, 70, 50, 30, 15, 7), codecs.jpeg, "compression"),
    Kind("webp", "quality", (95, 85, 70, 50, 30, 15, 5), codecs.webp, "compression"),
    Kind("avif", "quality", (90, 80, 65, 50, 35, 20, 8), codecs.avif, "compression"),
    Kind(
        "noise", "sigma, of 255", (1, 2, 4, 8, 16, 32, 64), detail.noise, "noise",
        physical=True,
    ),
    Kind(
        "blur", "sigma, px", (0.4, 0.6, 0.9, 1.4, 2.2, 4, 8), detail.blur, "blur", 1,
        physical=True,
    ),
    Kind("sharpen", "amount", (0.25, 0.5, 1, 1.5, 2.5, 4, 7), detail.sharpen, "blur", -1),
    Kind("median", "side, px", (1.25, 2, 3, 5, 9, 15, 27), detail.median, "blur", 1),
    Kind("rescale", "factor", (1.25, 1.5, 2, 2.5, 3.5, 5, 8), detail.rescale, "blur", 1),
    Kind("darker", "%", (3, 7, 13, 22, 35, 55, 75), tone.darker, "darken", 1),
    Kind("brighter", "%", (3, 7, 15, 30, 50, 90, 160), tone.brighter, "darken", -1),
    Kind("contrast up", "%", (5, 10, 20, 40, 70, 130, 250), tone.contrast, "contrast", 1),
    Kind("contrast down", "%", (-5, -10, -20, -35, -50, -70, -88), tone.contrast, "contrast", -1),
    Kind("saturation up", "%", (10, 20, 40, 70, 120, 200, 350), tone.saturation, "saturation", 1),
    Kind(
        "saturation down", "%", (-10, -20, -35, -50, -70, -85, -100), tone.saturation,
        "saturation", -1,
    ),
    Kind("hue", "degrees", (3, 6, 12, 25, 50, 90, 150), tone.hue, "color"),
    Kind("white balance", "% red", (2, 4, 8, 15, 25, 45, 80), tone.white_balance, "tint"),
    Kind("gamma", "exponent", (1.05, 1.1, 1.2, 1.4, 1.8, 2.4, 3.5), tone.gamma, "darken", 1),
    Kind("posterize", "levels", (64, 32, 16, 8, 5, 3, 2), tone.posterize, "compression"),
    Kind(
        "rotate", "degrees", (0.1, 0.25, 0.5, 1, 2, 5, 10), geometry.rotate, "rotate",
        cropped=True, physical=True,
    ),
    Kind(
        "enlarge", "%", (0.3, 0.6, 1.2, 2.5, 5, 10, 20), geometry.enlarge, "zoom",
        cropped=True, physical=True,
    ),
    Kind(
        "shift", "px", (1 / 3, 2 / 3, 1.5, 3, 6, 12, 24), geometry.shift, "translate",
        cropped=True, physical=True,
    ),
    Kind(
        "bend", "amplitude, px", (0.3, 0.7, 1.5, 3, 6, 12, 20), geometry.bend, "warp",
        cropped=True,
    ),
    Kind("patch", "% of area", (0.1, 0.3, 1, 2.5, 6, 13, 30), detail.patch, "content"),
)  # fmt: skip
"""In the order of the tables. A kind without a name counts as `other`."""


@dataclass(frozen=True)
class Gross:
    """A picture that is far from the reference in any sound metric.

    Attributes:
        name: of the change.
        change: from the reference and another photograph of its size.
        named_as: the name of a metric that has one for it, else `other`: a context may rank other
            changes above it. None where no context may.
    """

    name: str
    change: Callable[[Pixels, Pixels], Pixels]
    named_as: str | None


GROSS = (
    Gross("mirror", lambda reference, _: geometry.mirror(reference), "mirror"),
    Gross("upside down", lambda reference, _: geometry.upside_down(reference), "rotate"),
    Gross("another picture", lambda _, other: other, None),
)
