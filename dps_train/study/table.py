"""The table of a study: one row a metric, as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dps_infer.contexts.ranking import format_ranking
from dps_infer.files.tables import Kind, open_table
from dps_train.study.family import Measured
from dps_train.study.folder import Values
from dps_train.study.plan import Job

CSV, PARQUET = "table.csv", "table.parquet"

STUDIED = {
    "metric": Kind.text,
    "repetition": Kind.integer,
    "seed": Kind.integer,
    "data": Kind.text,
    "test_data": Kind.text,
    "backbone": Kind.text,
    "comparison": Kind.text,
    "variant": Kind.text,
    "ranking": Kind.text,
    "error": Kind.text,
    "score": Kind.number,
    "baseline": Kind.number,
    "ceiling": Kind.number,
    "improved": Kind.boolean,
}
"""The first columns: what the metric is, why there is none, and its 2AFC score in its context.
All others are numbers."""

MARKS = ("named", "monotonicity", "retention")
"""Measures of several kinds of change: one column each, after the name and a dot."""


def row(job: Job, measured: Measured) -> Values:
    """Return the row of a metric."""
    measures = measured.measures
    assert measures.score is not None, "rankings of a study order distortions"
    assert measures.ceiling is not None, "rankings of a study order distortions"
    values: Values = {
        **_identity(job, measured.comparison),
        "error": "",
        "score": measures.score.mean,
        "baseline": measured.baseline,
        "ceiling": measures.ceiling.mean,
        "improved": measures.score.mean > measured.baseline,
        "composition": measures.composition,
        "stability": measures.stability,
    }
    for mark in MARKS:
        for name, value in (getattr(measures, mark) or {}).items():
            values[f"{mark}.{name}"] = value
    for prefix, people in (
        ("bapps", measured.people),
        ("bapps.baseline", measured.baseline_people),
    ):
        if people is not None:
            values[f"{prefix}.2afc"] = people.two_afc_mean
            values[f"{prefix}.jnd"] = people.jnd_mean
            values |= {f"{prefix}.2afc.{split}": one for split, one in people.two_afc.items()}
            values |= {f"{prefix}.jnd.{split}": one for split, one in people.jnd.items()}
    return values


def failed_row(job: Job, comparison: str, error: str) -> Values:
    """Return the row of a metric that could not be trained."""
    return {**_identity(job, comparison), "error": error}


def write_tables(folder: Path, rows: Sequence[Values]) -> None:
    """Write the table as CSV and Parquet.

    Raises:
        OutputError: it cannot be written.
        DpsError: pyarrow is not installed.
    """
    others = dict.fromkeys(name for values in rows for name in values if name not in STUDIED)
    columns = {**STUDIED, **dict.fromkeys(others, Kind.number)}
    for name in (CSV, PARQUET):
        with open_table(folder / name, columns, force=True) as write:
            for values in rows:
                write(dict(values))


def _identity(job: Job, comparison: str) -> Values:
    settings = job.settings
    return {
        "metric": job.id,
        "repetition": job.repetition,
        "seed": settings.seed,
        "data": Path(settings.data).name,
        "test_data": Path(settings.test_data or settings.data).name,
        "backbone": settings.backbone,
        "comparison": comparison,
        "variant": settings.variant,
        "ranking": format_ranking(job.context.order),
    }
