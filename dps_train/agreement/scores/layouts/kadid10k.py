"""KADID-10k (Lin et al. 2019).

``dmos.csv`` has the columns ``dist_img,ref_img,dmos,var``; both images are in ``images``, named
like ``I01_01_05.png``: image, kind, level. Despite its name, ``dmos`` runs from 1 to 5 with 5 the
best: higher is better.
"""

from __future__ import annotations

from pathlib import Path

from dps_train.agreement.scores.layouts.folders import check_parts, images_by_stem, named_image
from dps_train.agreement.scores.scored_pairs import (
    RowProblem,
    ScoredPairs,
    ScoredRow,
    checked_pairs,
)
from dps_train.agreement.scores.tables import number_of, table_rows

NAME = "KADID-10k"
MARK = "dmos.csv"
IMAGES = "images"
COLUMNS = ("dist_img", "ref_img", "dmos")


def read(folder: Path) -> ScoredPairs:
    """Read the set; see `dps_train.agreement.scores.scored_pairs.checked_pairs` for the errors."""
    check_parts(folder, NAME, MARK, (IMAGES,))
    images = images_by_stem([folder / IMAGES])
    path = folder / MARK
    problems: list[RowProblem] = []
    rows = [
        ScoredRow(
            path,
            number,
            named_image(images, folder / IMAGES, cells["ref_img"]),
            named_image(images, folder / IMAGES, cells["dist_img"]),
            number_of(cells["dmos"], "dmos", (path, number), problems),
            _kind(cells["dist_img"]),
        )
        for number, cells in table_rows(path, COLUMNS, problems, optional=None)
    ]
    return checked_pairs(folder.resolve().name, rows, problems, higher_is_better=True)


def _kind(name: str) -> str:
    parts = Path(name).stem.split("_")
    return parts[1] if len(parts) == 3 else ""
