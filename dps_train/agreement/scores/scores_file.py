"""Scores in a CSV file: ``reference,candidate,score[,kind,level]``.

UTF-8, columns in any order, paths relative to the file. Rows count as in a spreadsheet: the
columns' names are row 1.
"""

from __future__ import annotations

from pathlib import Path

from dps_train.agreement.scores.scored_pairs import (
    RowProblem,
    ScoredPairs,
    ScoredRow,
    checked_pairs,
)
from dps_train.agreement.scores.tables import number_of, table_rows

COLUMNS = ("reference", "candidate", "score")
OPTIONAL = ("kind", "level")
NAME = "scores.csv"
"""File that is looked for in a folder."""


def read_scores_file(path: Path, *, higher_is_better: bool) -> ScoredPairs:
    """Read a file of scores and check it as a whole.

    Args:
        path: the file.
        higher_is_better: see `ScoredPairs`.

    Returns:
        The pairs. Of a file called `NAME`, the source is the name of its folder.

    Raises:
        UsageError: the file cannot be read.
        DataError: with every problem of every row; see `checked_pairs`.
    """
    problems: list[RowProblem] = []
    rows = []
    for number, cells in table_rows(path, COLUMNS, problems, optional=OPTIONAL):
        images: list[Path | None] = []
        for name in ("reference", "candidate"):
            images.append(path.parent / cells[name] if cells[name] else None)
            if not cells[name]:
                problems.append(RowProblem(path, number, f"{name} is empty: expected an image"))
        score = number_of(cells["score"], "score", (path, number), problems)
        reference, candidate = images
        rows.append(ScoredRow(path, number, reference, candidate, score, cells.get("kind", "")))
    source = path.resolve().parent.name if path.name == NAME else path.stem
    return checked_pairs(source, rows, problems, higher_is_better=higher_is_better)
