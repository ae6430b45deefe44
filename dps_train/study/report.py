"""The report of a study: one page that works from disk, without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dps_infer.files.write import atomic_file
from dps_train.fit.settings import BASELINE
from dps_train.study.charts import COLORS, gain_chart, mark_chart, people_chart, score_chart
from dps_train.study.folder import Values
from dps_train.study.plan import Study
from dps_train.study.summary import summarize
from dps_train.study.table import CSV, PARQUET

PAGE = "report.html"


@dataclass(frozen=True)
class Chart:
    """A chart of the report.

    Attributes:
        title: its heading.
        text: explanation, also used as alternative text.
        draw: draws it as SVG.
    """

    title: str
    text: str
    draw: Callable[[Sequence[Values]], str]


SCORES = Chart(
    "Adapted against unadapted",
    "One point per metric. Above the dashed line, adapting helped.",
    score_chart,
)
GAINS = Chart("Gains", "One point per metric; the bar is the mean.", gain_chart)
PEOPLE = Chart(
    "Agreement with people",
    "Difference in agreement with people's judgements between the adapted metric and the unadapted "
    "one. Below the dashed line, adapting cost agreement.",
    people_chart,
)
MARKS = Chart(
    "Marks of a metric",
    "Does the distance grow with the strength of a change (monotonicity; retention for kinds of "
    "change never trained on)? Are two changes in turn at least as far as the farther of the two "
    "(composition)?",
    mark_chart,
)


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
    adapted = [values for values in done if values["variant"] != BASELINE]
    judged = any(values.get("bapps.2afc") is not None for values in adapted)
    charts = [
        *([(SCORES, adapted), (GAINS, adapted)] if adapted else []),
        *([(PEOPLE, adapted)] if judged else []),
        *([(MARKS, done)] if done else []),
    ]
    variants = {str(summary["variant"]): summary for summary in summarize(done, by=("variant",))}
    return environment.get_template("report.html").render(
        study=study,
        first=rows[0],
        rows=rows,
        failed=[values for values in rows if values["error"]],
        summaries=summarize(rows),
        tiles=[(variants[name], color) for name, color in COLORS.items() if name in variants],
        charts=[(chart, _data_url(chart.draw(some))) for chart, some in charts],
        judged=any("bapps.2afc" in values for values in done),
        files=(CSV, PARQUET),
    )


def _data_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
