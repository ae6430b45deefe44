"""TID2013 (Ponomarenko et al. 2015), and TID2008, which has the same layout.

``mos_with_names.txt`` holds a line for each distorted image, ``5.51429 I01_01_1.bmp``: the mean
opinion, 0 to 9, higher is better, and the name: image, kind, level. Originals are in
``reference_images``, distorted images in ``distorted_images``.
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
from dps_train.agreement.scores.tables import number_of
from dps_train.data.csv_rows import Problem, read_records

NAME = "TID2013"
MARK = "mos_with_names.txt"
REFERENCES, CANDIDATES = "reference_images", "distorted_images"


def read(folder: Path) -> ScoredPairs:
    """Read the set; see `dps_train.agreement.scores.scored_pairs.checked_pairs` for the errors."""
    check_parts(folder, NAME, MARK, (REFERENCES, CANDIDATES))
    references = images_by_stem([folder / REFERENCES])
    candidates = images_by_stem([folder / CANDIDATES])
    path = folder / MARK
    problems: list[RowProblem] = []
    broken: list[Problem] = []
    rows = []
    for number, cells in read_records(path, broken, expected="scores and names", delimiter=" "):
        parts = Path(cells[-1]).stem.split("_")
        if len(cells) != 2 or len(parts) != 3:
            text = f"is {' '.join(cells)!r}: expected a score and a name such as I01_01_1.bmp"
            problems.append(RowProblem(path, number, text))
            continue
        image, kind, _ = parts
        rows.append(
            ScoredRow(
                path,
                number,
                named_image(references, folder / REFERENCES, f"{image}.bmp"),
                named_image(candidates, folder / CANDIDATES, cells[1]),
                number_of(cells[0], "score", (path, number), problems),
                kind,
            )
        )
    problems += [RowProblem(path, row, text) for row, text in broken]
    if not rows and not problems:
        problems.append(RowProblem(path, 1, "the file is empty: expected scores and names"))
    return checked_pairs(folder.resolve().name, rows, problems, higher_is_better=True)
