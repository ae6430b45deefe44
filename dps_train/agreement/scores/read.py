"""Read people's scores: from a CSV file, or from a published set in its own layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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


def read_all(paths: Sequence[Path], higher_is_better: Sequence[bool] = ()) -> list[ScoredPairs]:
    """Read several sets of scores.

    Args:
        paths: see `read_scores`.
        higher_is_better: of the CSV files among them, in their order; one value counts for all of
            them, none means that higher is better.

    Raises:
        UsageError: as many directions as neither one nor the files; see `read_scores`.
        DataError: with every problem of a set.
    """
    files = [path for path in paths if own_file(path)]
    given = len(higher_is_better)
    if given > 1 and given != len(files):
        raise UsageError(
            f"--higher is given {given} times for {len(files)} CSV file{'s' * (len(files) != 1)} "
            "of scores: give it once for all of them, or once for each, in the order of --scores"
        )
    if given and not files:
        raise UsageError("--higher is for CSV files: a published set has its own direction")
    directions = list(higher_is_better) if given > 1 else [*higher_is_better, True][:1] * len(files)
    better = iter(directions)
    found: list[ScoredPairs] = []
    for path in paths:
        pairs = read_scores(path, higher_is_better=next(better) if own_file(path) else True)
        alike = sum(pairs.source == other.source.partition("#")[0] for other in found)
        found.append(replace(pairs, source=f"{pairs.source}#{alike + 1}") if alike else pairs)
    return found
