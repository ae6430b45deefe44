"""The validation set of CID22 (Sneyers et al. 2023).

``CID22_validation_set.csv`` has the columns ``reference_img, distorted_img, encoder, setting, bpp,
MCOS, RMOS, Elo, nb_pc_opinions``; images are relative to its folder. MCOS is the mean opinion after
correction, 0 to 100, higher is better. Rows whose encoder is ``Reference`` score the originals
themselves, and are left out.
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

NAME = "CID22"
MARK = "CID22_validation_set.csv"
COLUMNS = ("reference_img", "distorted_img", "encoder", "MCOS")
ORIGINAL = "Reference"


def read(folder: Path) -> ScoredPairs:
    """Read the set; see `dps_train.agreement.scores.scored_pairs.checked_pairs` for the errors."""
    path = folder / MARK
    problems: list[RowProblem] = []
    rows = [
        ScoredRow(
            path,
            number,
            folder / cells["reference_img"],
            folder / cells["distorted_img"],
            number_of(cells["MCOS"], "MCOS", (path, number), problems),
            cells["encoder"],
        )
        for number, cells in table_rows(path, COLUMNS, problems, optional=None)
        if cells["encoder"] != ORIGINAL
    ]
    return checked_pairs(folder.resolve().name, rows, problems, higher_is_better=True)
