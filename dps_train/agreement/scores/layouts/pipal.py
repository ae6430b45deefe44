"""The training part of PIPAL (Gu et al. 2020).

``Train_Label`` holds a file for each original, ``A0001.txt``, with lines such as
``A0001_00_00.bmp,1520.0648``: a distorted image (image, kind, level), and its Elo score, higher is
better. Originals are in ``Train_Ref``, distorted images in folders whose names begin with
``Distortion``.
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
from dps_train.agreement.scores.tables import number_of
from dps_train.data.csv_rows import Problem, read_records

NAME = "PIPAL"
MARK = "Train_Label"
REFERENCES, CANDIDATES = "Train_Ref", "Distortion*"


def read(folder: Path) -> ScoredPairs:
    """Read the set; see `dps_train.agreement.scores.scored_pairs.checked_pairs` for the errors."""
    check_parts(folder, NAME, MARK, (REFERENCES,))
    distorted = sorted(path for path in folder.glob(CANDIDATES) if path.is_dir())
    labels = sorted((folder / MARK).glob("*.txt"))
    if not (distorted and labels):
        lacking = f"{MARK}/*.txt" if distorted else f"a folder {CANDIDATES}"
        raise UsageError(
            f"{folder} has {MARK} and is read as {NAME}, but lacks {lacking}: expected the set as "
            "it is published"
        )
    references = images_by_stem([folder / REFERENCES])
    candidates = images_by_stem(distorted)
    problems: list[RowProblem] = []
    rows = []
    for path in labels:
        broken: list[Problem] = []
        for number, cells in read_records(path, broken, expected="names and scores"):
            parts = Path(cells[0]).stem.split("_")
            if len(cells) != 2 or len(parts) != 3:
                text = f"is {','.join(cells)!r}: expected a name such as A0001_00_00.bmp, a score"
                problems.append(RowProblem(path, number, text))
                continue
            rows.append(
                ScoredRow(
                    path,
                    number,
                    named_image(references, folder / REFERENCES, f"{path.stem}.bmp"),
                    named_image(candidates, distorted[0], cells[0]),
                    number_of(cells[1], "score", (path, number), problems),
                    parts[1],
                )
            )
        problems += [RowProblem(path, row, text) for row, text in broken]
    return checked_pairs(folder.resolve().name, rows, problems, higher_is_better=True)
