"""The report of a study: one page that works from disk, without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from jinja2 import Environment, PackageLoader, StrictUndefined

from dps_infer.files.write import atomic_file
from dps_train.fit.settings import BASELINE
from dps_train.study.charts import (
    COLORS,
    by_variant,
    gain_chart,
    mark_chart,
    people_chart,
    score_chart,
)
from dps_train.study.folder import Values
from dps_train.study.plan import Study
from dps_train.study.summary import numbers, summarize
from dps_train.study.table import CSV, PARQUET

PAGE = "report.html"


@dataclass(frozen=True)
class Chart:
    """A chart of the report.

    Attributes:
        title: its heading.
        text: explanation, also used as alternative text.
        url: the picture as a data URL.
    """

    title: str
    text: str
    url: str


@dataclass(frozen=True)
class Tile:
    """The headline figures of a variant.

    Attributes:
        variant: its name.
        color: its color in the charts.
        improved: number of its metrics that are better than the unadapted one.
        metrics: number of its metrics.
        score: mean 2AFC.
        baseline: mean 2AFC of the unadapted metrics.
    """

    variant: str
    color: str
    improved: int
    metrics: int
    score: float
    baseline: float


def write_report(folder: Path, study: Study, rows: Sequence[Values]) -> Path:
    """Write the report of a study into its folder, and return its path.

    Args:
        folder: the study's folder.
        study: the study.
        rows: the rows of its table.

    Raises:
        OutputError: the page cannot be written.
    """
    page = folder / PAGE
    with atomic_file(page, force=True) as temporary:
        temporary.write_text(render(study, rows), encoding="utf-8", errors="xmlcharrefreplace")
    return page


def render(study: Study, rows: Sequence[Values]) -> str:
    """Return the page; equal rows give equal pages."""
    environment = Environment(
        loader=PackageLoader("dps_train.study", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    done = [values for values in rows if not values["error"]]
    return environment.get_template("report.html").render(
        study=study,
        first=rows[0],
        rows=rows,
        failed=[values for values in rows if values["error"]],
        summaries=summarize(rows),
        tiles=_tiles(done),
        charts=_charts(done),
        judged=any("bapps.2afc" in values for values in done),
        files=(CSV, PARQUET),
    )


def _tiles(rows: Sequence[Values]) -> list[Tile]:
    tiles = []
    for variant, some in by_variant(rows).items():
        tiles.append(
            Tile(
                variant,
                COLORS[variant],
                sum(values["improved"] is True for values in some),
                len(some),
                fmean(numbers(some, "score")),
                fmean(numbers(some, "baseline")),
            )
        )
    return tiles


def _charts(rows: Sequence[Values]) -> list[Chart]:
    adapted = [values for values in rows if values["variant"] != BASELINE]
    charts = []
    if adapted:
        charts += [
            _chart(
                "Adapted against unadapted",
                "One point per metric. Above the dashed line, adapting helped.",
                score_chart,
                adapted,
            ),
            _chart(
                "Gains",
                "One point per metric; the bar is the mean.",
                gain_chart,
                adapted,
            ),
        ]
    if any(values.get("bapps.2afc") is not None for values in adapted):
        charts.append(
            _chart(
                "Agreement with people",
                "Difference in agreement with people's judgements between the adapted metric and "
                "the unadapted one. Below the dashed line, adapting cost agreement.",
                people_chart,
                adapted,
            )
        )
    if rows:
        charts.append(
            _chart(
                "Marks of a metric",
                "Does the distance grow with the strength of a change (monotonicity; retention for "
                "kinds of change never trained on)? Are two changes in turn at least as far as "
                "the farther of the two (composition)?",
                mark_chart,
                rows,
            )
        )
    return charts


def _chart(
    title: str, text: str, draw: Callable[[Sequence[Values]], str], rows: Sequence[Values]
) -> Chart:
    picture = base64.b64encode(draw(rows).encode()).decode()
    return Chart(title, text, f"data:image/svg+xml;base64,{picture}")


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
