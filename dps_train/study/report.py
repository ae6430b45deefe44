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
    COLOURS,
    by_variant,
    gain_chart,
    mark_chart,
    people_chart,
    score_chart,
)
from dps_train.study.folder import Values
from dps_train.study.plan import Study
from dps_train.study.summary import numbers, summarise
from dps_train.study.table import CSV, PARQUET

PAGE = "report.html"


@dataclass(frozen=True)
class Chart:
    """A picture with what it says.

    Attributes:
        title: its heading.
        words: what is to be seen, for those who do not see it too.
        url: the picture itself, as a data URL.
    """

    title: str
    words: str
    url: str


@dataclass(frozen=True)
class Tile:
    """The headline of a variant.

    Attributes:
        variant: its name.
        colour: in the charts.
        improved: how many of its metrics are better than the unadapted one.
        metrics: of how many.
        score: mean 2AFC.
        baseline: of the unadapted metrics.
    """

    variant: str
    colour: str
    improved: int
    metrics: int
    score: float
    baseline: float


def write_report(folder: Path, study: Study, rows: Sequence[Values]) -> Path:
    """Write the report of a study into its folder.

    Args:
        folder: of the study.
        study: what was asked for.
        rows: of its table.

    Returns:
        The page.

    Raises:
        OutputError: it cannot be written.
    """
    page = folder / PAGE
    with atomic_file(page, force=True) as temporary:
        temporary.write_text(render(study, rows), encoding="utf-8", errors="xmlcharrefreplace")
    return page


def render(study: Study, rows: Sequence[Values]) -> str:
    """Return the page, the same for the same rows."""
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
        summaries=summarise(rows),
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
                COLOURS[variant],
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
                "One point a metric. Above the dashed line, adapting helped.",
                score_chart,
                adapted,
            ),
            _chart(
                "Gains",
                "One point a metric; the bar is the mean.",
                gain_chart,
                adapted,
            ),
        ]
    if any(values.get("bapps.2afc") is not None for values in adapted):
        charts.append(
            _chart(
                "Agreement with people",
                "How much more or less often the adapted metric agrees with people's judgements "
                "than the unadapted one. Below the dashed line, adapting cost agreement.",
                people_chart,
                adapted,
            )
        )
    if rows:
        charts.append(
            _chart(
                "Marks of a metric",
                "Does the distance grow with the strength of a change (monotonicity, and "
                "retention for kinds of change never trained on)? Are two changes at least as far "
                "as the farther of the two (composition)?",
                mark_chart,
                rows,
            )
        )
    return charts


def _chart(
    title: str, words: str, draw: Callable[[Sequence[Values]], str], rows: Sequence[Values]
) -> Chart:
    picture = base64.b64encode(draw(rows).encode()).decode()
    return Chart(title, words, f"data:image/svg+xml;base64,{picture}")


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
