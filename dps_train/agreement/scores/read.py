"""Scores of people from wherever they are: a CSV file, or a published set in its own layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dps_infer.errors import UsageError
from dps_train.agreement.scores.layouts import cid22, csiq, kadid10k, pipal, tid2013
from dps_train.agreement.scores.scored_pairs import ScoredPairs
from dps_train.agreement.scores.scores_file import COLUMNS, OPTIONAL, read_scores_file
from dps_train.agreement.scores.scores_file import NAME as SCORES

LAYOUTS: dict[str, tuple[str, Callable[[Path], ScoredPairs]]] = {
    **{layout.MARK: (layout.NAME, layout.read) for layout in (tid2013, kadid10k, cid22, pipal)},
    **{mark: (csiq.NAME, csiq.read) for mark in csiq.MARKS},
}
"""The name and the reader of each layout, by a file or folder that only sets of it have."""


def own_file(path: Path) -> bool:
    """Return whether a path is a CSV file of scores, which does not state its direction."""
    if path.is_dir():
        return (path / SCORES).is_file()
    return path.name not in LAYOUTS


def read_scores(path: Path, *, higher_is_better: bool = True) -> ScoredPairs:
    """Read scores and check them as a whole.

    Args:
        path: a CSV file, a folder that holds one called scores.csv, or a published set: its
            folder, or the file that tells its layout.
        higher_is_better: of a CSV file, whether a higher score means more alike. Published sets
            have their own direction.

    Raises:
        UsageError: it is none of these.
        DataError: with every problem of every row; see
            `dps_train.agreement.scores.scored_pairs.checked_pairs`.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder, expected scores")
    if own_file(path):
        file = path / SCORES if path.is_dir() else path
        return read_scores_file(file, higher_is_better=higher_is_better)
    folder = path if path.is_dir() else path.parent
    for mark, (_, read) in LAYOUTS.items():
        if (folder / mark).exists():
            return read(folder)
    known = ", ".join(f"{mark} ({name})" for mark, (name, _) in LAYOUTS.items())
    raise UsageError(
        f"{path} holds no scores in a known layout: looked for {SCORES} (with the columns "
        f"{','.join(COLUMNS)}[,{','.join(OPTIONAL)}]), {known}"
    )
