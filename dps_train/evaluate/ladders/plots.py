"""The plots of the page: distance over the steps of a ladder, a curve for each photograph.

They are plain SVG paths on a logarithmic axis that all ladders of a context share, so that ladders
can be compared, and so that an even ladder is a narrow bundle whatever its height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dps_train.evaluate.ladders.records import ContextFigures, KindFigures

WIDTH, HEIGHT = 280, 190
"""Size of a plot in SVG user units, which are about a pixel each."""

LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 20

DECADES = 4
"""Most powers of ten that are shown; smaller distances lie on the axis."""

COLORS = (
    "#3b7ddd", "#e0762b", "#2f9e63", "#cf4343", "#8b62c9",
    "#94683f", "#d065ae", "#7d8590", "#a8a025", "#22a7bd",
)  # fmt: skip


@dataclass(frozen=True)
class Tick:
    """A place on an axis and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    """One ladder in one context.

    Attributes:
        name: of the ladder.
        unit: of its steps.
        figures: in words.
        curves: an SVG path for each photograph.
        steps: ticks of the horizontal axis.
    """

    name: str
    unit: str
    figures: str
    curves: list[str]
    steps: list[Tick]


@dataclass(frozen=True)
class ContextPlots:
    """The plots of one context.

    Attributes:
        label: of the context.
        group: where it comes from.
        importances: in words.
        decades: ticks of the vertical axis.
        levels: median distance of each gross change, by name, as a height.
        plots: one a ladder.
    """

    label: str
    group: str
    importances: str
    decades: list[Tick]
    levels: list[Tick]
    plots: list[Plot]


def color(photograph: int) -> str:
    """Return the color of a photograph's curves; they repeat after ten."""
    return COLORS[photograph % len(COLORS)]


def context_plots(context: ContextFigures, kinds: dict[str, KindFigures]) -> ContextPlots:
    """Lay out the plots of a context."""
    axis = _Axis(
        [d for ladder in context.ladders.values() for row in ladder.distances for d in row]
        + [d for gross in context.gross.values() for d in gross.distances]
    )
    given = (context.importances or {}).items()
    return ContextPlots(
        label=context.label,
        group=context.group.value,
        importances=", ".join(f"{name} {value:.3g}" for name, value in given),
        decades=axis.decades(),
        levels=[
            Tick(axis.height(sorted(gross.distances)[len(gross.distances) // 2]), name)
            for name, gross in context.gross.items()
        ],
        plots=[
            Plot(
                name=name,
                unit=kinds[name].unit,
                figures=f"order {ladder.order:.2f}, worst {ladder.worst_photograph:.2f}, "
                f"even {_short(ladder.evenness)}",
                curves=[_curve(row, axis) for row in ladder.distances],
                steps=[
                    Tick(_across(place, len(kinds[name].steps)), _short(step))
                    for place, step in enumerate(kinds[name].steps)
                ],
            )
            for name, ladder in context.ladders.items()
        ],
    )


class _Axis:
    """A logarithmic axis that holds the largest distance and up to `DECADES` below it."""

    def __init__(self, distances: Sequence[float]) -> None:
        positive = [distance for distance in distances if distance > 0] or [1.0]
        self._high = math.ceil(math.log10(max(positive)))
        self._low = max(math.floor(math.log10(min(positive))), self._high - DECADES)
        self._high = max(self._high, self._low + 1)

    def height(self, distance: float) -> float:
        exponent = self._low if distance <= 0 else max(math.log10(distance), self._low)
        share = (exponent - self._low) / (self._high - self._low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def decades(self) -> list[Tick]:
        exponents = range(self._low, self._high + 1)
        return [Tick(self.height(10.0**power), f"{10.0**power:g}") for power in exponents]


def _across(place: int, steps: int) -> float:
    return round(LEFT + 10 + place * (WIDTH - LEFT - RIGHT - 20) / max(1, steps - 1), 1)


def _curve(distances: Sequence[float], axis: _Axis) -> str:
    points = (
        f"{_across(place, len(distances))} {axis.height(distance)}"
        for place, distance in enumerate(distances)
    )
    return "M" + "L".join(points)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
