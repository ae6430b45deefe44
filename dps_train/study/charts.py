"""The charts of a study's report, as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dps_train.fit.settings import BASELINE, LIN, SCRATCH, TUNE
from dps_train.model.names import ADDITIVE
from dps_train.study.folder import Values
from dps_train.study.summary import numbers

COLORS = {
    BASELINE: "#6b7280",
    LIN: "#2f6fd0",
    TUNE: "#d98a00",
    SCRATCH: "#c8408f",
    ADDITIVE: "#0d8f68",
}
WIDTH = 6.4
"""Inches; the same in all charts, so that their text has one size."""

INK, LINE = "#1f2328", "#d5d8dd"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # Identifiers in the file are salted hashes: a fixed salt gives equal files for equal charts.
    "svg.hashsalt": "study",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#eceef1",
    "xtick.color": "#59616c",
    "ytick.color": "#59616c",
    "legend.frameon": False,
}
DASHED: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": "--"}

TARGETS = {"monotonicity": 0.95, "composition": 0.95, "retention": 0.9}
"""Marks of a metric by the name that their columns begin with, and their target values."""

Rows = Sequence[Values]


def score_chart(rows: Rows) -> str:
    """Draw every metric's score over the score of the unadapted one."""

    def draw(axes: Axes) -> None:
        for variant, some in by_variant(rows).items():
            _scatter(axes, variant, numbers(some, "baseline"), numbers(some, "score"))
        values = numbers(rows, "score") + numbers(rows, "baseline")
        low, high = min(values) - 0.02, max(*values, *numbers(rows, "ceiling")) + 0.01
        axes.plot([low, high], [low, high], **DASHED)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_xlabel("2AFC of the unadapted metric")
        axes.set_ylabel("2AFC of the adapted metric")
        axes.legend(loc="lower right")

    return _svg(draw, 5.4)


def gain_chart(rows: Rows) -> str:
    """Draw the gain of each metric, and the mean per variant, network and comparison."""
    groups: dict[str, list[Values]] = {}
    for values in rows:
        label = f"{values['variant']}\n{values['backbone']}, {values['comparison']}"
        groups.setdefault(label, []).append(values)

    def draw(axes: Axes) -> None:
        for place, some in enumerate(groups.values()):
            gains = _differences(some, "score", "baseline")
            color = COLORS[str(some[0]["variant"])]
            heights = [place + 0.18 * ((7 * number) % 11 / 5 - 1) for number in range(len(gains))]
            axes.scatter(gains, heights, s=16, color=color, alpha=0.6)
            mean = fmean(gains)
            axes.plot([mean, mean], [place - 0.32, place + 0.32], color=color, linewidth=2.5)
            axes.annotate(
                f"{mean:+.3f}", (mean, place - 0.34), ha="center", va="bottom", fontsize=9
            )
        axes.axvline(0, **DASHED)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.4, -0.7)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("2AFC gained by adapting")

    return _svg(draw, 1.1 + 0.62 * len(groups))


def mark_chart(rows: Rows) -> str:
    """Draw the marks of a metric per kind of change, as means over each variant's metrics."""
    columns = dict.fromkeys(name for values in rows for name in values)
    names = [name for mark in TARGETS for name in columns if name.partition(".")[0] == mark]

    def draw(axes: Axes) -> None:
        for place, name in enumerate(names):
            target = TARGETS[name.partition(".")[0]]
            axes.plot([target, target], [place - 0.4, place + 0.4], color="#9aa1ab", linewidth=1)
        for variant, some in by_variant(rows).items():
            means = [fmean(numbers(some, name)) for name in names]
            _scatter(axes, variant, means, range(len(names)))
        axes.set_yticks(range(len(names)), [name.replace(".", ": ") for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("mean over the metrics; short lines mark the targets")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=5)

    return _svg(draw, 1.2 + 0.3 * len(names))


def people_chart(rows: Rows) -> str:
    """Draw the change of the agreement with people by adapting to a context."""

    def draw(axes: Axes) -> None:
        for variant, some in by_variant(rows).items():
            changes = _differences(some, "bapps.2afc", "bapps.baseline.2afc")
            _scatter(axes, variant, _differences(some, "score", "baseline"), changes)
        axes.axhline(0, **DASHED)
        axes.set_xlabel("2AFC gained in the context")
        axes.set_ylabel("change in agreement with people (BAPPS 2AFC)")
        axes.legend(loc="best")

    return _svg(draw, 4.2)


def by_variant(rows: Rows) -> dict[str, list[Values]]:
    """Return the rows of each variant, in the order of `COLORS`."""
    groups = {
        variant: [values for values in rows if values["variant"] == variant] for variant in COLORS
    }
    return {variant: some for variant, some in groups.items() if some}


def _scatter(axes: Axes, variant: str, x: Sequence[float], y: Sequence[float]) -> None:
    axes.scatter(x, y, s=26, color=COLORS[variant], alpha=0.75, label=variant)


def _differences(rows: Rows, column: str, reference: str) -> list[float]:
    pairs = zip(numbers(rows, column), numbers(rows, reference), strict=True)
    return [value - other for value, other in pairs]


def _svg(draw: Callable[[Axes], None], height: float) -> str:
    """Return a chart as an SVG document; equal data give equal documents."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue()
