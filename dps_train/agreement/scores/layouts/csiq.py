"""CSIQ (Larson and Chandler 2010).

Originals are in ``src_imgs``, distorted images in ``dst_imgs/<kind>/<image>.<KIND>.<level>.png``.
Scores are published as the workbook ``csiq.DMOS.xlsx``, whose sheet ``all_by_image`` has the
columns ``image, dst_idx, dst_type, dst_lev, dmos_std, dmos``: higher is worse. That sheet is read
once it is saved as ``csiq.DMOS.csv`` (commas) or ``csiq.DMOS.txt`` (tabs); a workbook is not.
"""

from __future__ import annotations

from pathlib import Path

from dps_infer.errors import UsageError
from dps_train.agreement.scores.layouts.folders import check_parts, images_by_stem, named_image
from dps_train.agreement.scores.scored_pairs import (
    RowProblem,
    ScoredPairs,
    ScoredRow,
    checked_pairs,
)
from dps_train.agreement.scores.tables import number_of, table_rows

NAME = "CSIQ"
MARKS = ("csiq.DMOS.csv", "csiq.DMOS.txt", "csiq.DMOS.xlsx")
REFERENCES, CANDIDATES = "src_imgs", "dst_imgs"
COLUMNS = ("image", "dst_type", "dst_lev", "dmos")

KINDS = {
    "noise": "awgn",
    "blur": "blur",
    "contrast": "contrast",
    "fnoise": "fnoise",
    "jpeg": "jpeg",
    "jpeg 2000": "jpeg2000",
}
"""Names in the table, and in the names of files."""


def read(folder: Path) -> ScoredPairs:
    """Read the set; see `dps_train.agreement.scores.scored_pairs.checked_pairs` for the errors.

    Raises:
        UsageError: there is only the workbook.
    """
    check_parts(folder, NAME, "csiq.DMOS", (REFERENCES, CANDIDATES))
    path = next(folder / mark for mark in MARKS if (folder / mark).is_file())
    if path.name == MARKS[-1]:
        raise UsageError(
            f"{path} is a workbook: open it, and save its sheet all_by_image as {MARKS[0]} "
            "(separated by commas) beside it"
        )
    references = images_by_stem([folder / REFERENCES])
    candidates = images_by_stem([folder / CANDIDATES])
    problems: list[RowProblem] = []
    rows = []
    delimiter = "," if path.suffix == ".csv" else "\t"
    for number, cells in table_rows(
        path, COLUMNS, problems, optional=None, delimiter=delimiter, header_anywhere=True
    ):
        if not any(cells[name] for name in COLUMNS):
            continue
        image, kind, level = (cells[name] for name in ("image", "dst_type", "dst_lev"))
        if kind not in KINDS:
            text = f"dst_type is {kind!r}: expected one of {', '.join(KINDS)}"
            problems.append(RowProblem(path, number, text))
        part = KINDS.get(kind, kind)
        rows.append(
            ScoredRow(
                path,
                number,
                named_image(references, folder / REFERENCES, f"{image}.png"),
                named_image(candidates, folder / CANDIDATES / part, f"{image}.{part}.{level}.png"),
                number_of(cells["dmos"], "dmos", (path, number), problems),
                kind,
            )
        )
    return checked_pairs(folder.resolve().name, rows, problems, higher_is_better=False)
