"""The table of a study: one row per metric, as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dps_infer.contexts.ranking import format_ranking
from dps_infer.files.tables import Kind, open_table
from dps_train.study.folder import Values
from dps_train.study.plan import Job
from dps_train.study.run_job import JobResult

CSV, PARQUET = "table.csv", "table.parquet"

FIRST_COLUMNS = {
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
"""The metric, the reason if it failed, and its 2AFC score in its context. All other columns are
numbers."""

MARKS = ("named", "monotonicity", "retention")
"""Measures with one column per kind of change, called by the measure, a dot and the kind."""


def row(job: Job, result: JobResult) -> Values:
    """Return the row of a metric."""
    measures = result.measures
    assert measures.score is not None, "rankings of a study order distortions"
    assert measures.ceiling is not None, "rankings of a study order distortions"
    values: Values = {
        **_identity(job, result.comparison),
        "error": "",
        "score": measures.score.mean,
        "baseline": result.baseline,
        "ceiling": measures.ceiling.mean,
        "improved": measures.score.mean > result.baseline,
        "composition": measures.composition,
        "stability": measures.stability,
    }
    for mark in MARKS:
        for name, value in (getattr(measures, mark) or {}).items():
            values[f"{mark}.{name}"] = value
    for prefix, scores in (("bapps", result.bapps), ("bapps.baseline", result.baseline_bapps)):
        if scores is not None:
            values[f"{prefix}.2afc"] = scores.two_afc_mean
            values[f"{prefix}.jnd"] = scores.jnd_mean
            values |= {f"{prefix}.2afc.{split}": one for split, one in scores.two_afc.items()}
            values |= {f"{prefix}.jnd.{split}": one for split, one in scores.jnd.items()}
    return values | result.extra


def failed_row(job: Job, error: str) -> Values:
    """Return the row of a metric that could not be trained."""
    return {**_identity(job, job.settings.metric_comparison), "error": error}


def write_tables(folder: Path, rows: Sequence[Values]) -> None:
    """Write the table as CSV and Parquet.

    Raises:
        OutputError: a file cannot be written.
        DpsError: pyarrow is not installed.
    """
    others = dict.fromkeys(name for values in rows for name in values if name not in FIRST_COLUMNS)
    columns = {**FIRST_COLUMNS, **dict.fromkeys(others, Kind.number)}
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
