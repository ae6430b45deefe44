"""Image pairs with the scores that people gave them, checked as a whole before they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import DataError, ImageError
from dps_infer.files.read import read_bytes
from dps_infer.images.decode import MAX_FILE_BYTES
from dps_infer.images.headers import ACCEPTED, read_header

Floats: TypeAlias = NDArray[np.float64]

FEWEST_REFERENCES = 2
"""Intervals and folds are taken over references."""

SIDEWAYS = 5
"""First EXIF orientation that exchanges width and height."""


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of images, each of one size, whose pixels stay on disk.

    Attributes:
        source: name of the set.
        references: N image files.
        candidates: N image files, each compared with its reference.
        scores: N mean opinions, as published.
        higher_is_better: whether a higher score means that the candidate looks more like the
            reference.
        kinds: N kinds of change, empty where the set states none.
    """

    source: str
    references: tuple[Path, ...]
    candidates: tuple[Path, ...]
    scores: tuple[float, ...]
    higher_is_better: bool
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def dissimilarity(self) -> Floats:
        """How different people found each pair [N]: the scores, negated if higher is better."""
        return np.array(self.scores) * (-1 if self.higher_is_better else 1)

    @property
    def groups(self) -> NDArray[np.intp]:
        """Number of each pair's reference [N], counted from 0 in the order of first use."""
        numbers = {path: number for number, path in enumerate(dict.fromkeys(self.references))}
        return np.array([numbers[path] for path in self.references], np.intp)

    def sha256(self) -> str:
        """Return a hash over the file names, scores and kinds, in order."""
        digest = hashlib.sha256()
        for *paths, score, kind in zip(
            self.references, self.candidates, self.scores, self.kinds, strict=True
        ):
            digest.update("\0".join((*(path.name for path in paths), repr(score), kind)).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ScoredRow:
    """One pair as a file states it; None stands for a value that could not be read.

    Attributes:
        file: the file that states it.
        number: row of the file, counted from 1.
        reference: image file.
        candidate: image file.
        score: mean opinion.
        kind: kind of change.
    """

    file: Path
    number: int
    reference: Path | None
    candidate: Path | None
    score: float | None
    kind: str = ""


@dataclass(frozen=True)
class RowProblem:
    """A row that cannot be used, and the reason."""

    file: Path
    number: int
    text: str


def checked_pairs(
    source: str,
    rows: Sequence[ScoredRow],
    problems: Sequence[RowProblem],
    *,
    higher_is_better: bool,
) -> ScoredPairs:
    """Check rows and their images as a whole. Only the headers of the images are read.

    Args:
        source: name of the set.
        rows: at least one, unless there are problems.
        problems: found by the reader.
        higher_is_better: see `ScoredPairs`.

    Raises:
        DataError: with every problem: those of the reader; images that are missing or
            unreadable; sizes that differ within a pair; a pair that is scored twice; a single
            reference; scores that are all equal.
    """
    found = [*problems, *_image_problems(rows), *_repeated(rows), *_too_alike(rows)]
    if found:
        # Rows of one file come together; the problems of a row stay in order.
        found.sort(key=lambda problem: (str(problem.file), problem.number))
        raise DataError(
            [f"{problem.file} row {problem.number}: {problem.text}" for problem in found]
        )
    return ScoredPairs(
        source,
        tuple(row.reference for row in rows if row.reference is not None),
        tuple(row.candidate for row in rows if row.candidate is not None),
        tuple(row.score for row in rows if row.score is not None),
        higher_is_better,
        tuple(row.kind for row in rows),
    )


def _image_problems(rows: Sequence[ScoredRow]) -> list[RowProblem]:
    sizes: dict[Path, tuple[int, int] | str] = {}
    problems = []
    for row in rows:
        named = {"reference": row.reference, "candidate": row.candidate}
        seen = []
        for name, path in named.items():
            if path is None:
                continue
            if path not in sizes:
                sizes[path] = _size(path)
            size = sizes[path]
            if isinstance(size, str):
                problems.append(RowProblem(row.file, row.number, f"{name}: {size}"))
            else:
                seen.append(size)
        if len(set(seen)) > 1:
            (width, height), (other_width, other_height) = seen
            text = (
                f"the sizes differ: {row.reference} is {width}x{height}, {row.candidate} is "
                f"{other_width}x{other_height} (width x height); crop or resize them to one"
            )
            problems.append(RowProblem(row.file, row.number, text))
    return problems


def _size(path: Path) -> tuple[int, int] | str:
    """Return width and height of an image in pixels, or the reason why it cannot be read."""
    try:
        data = read_bytes(
            path, expected=f"an image ({ACCEPTED})", limit=MAX_FILE_BYTES, error=ImageError
        )
    except ImageError as error:
        return str(error)
    try:
        header = read_header(data)
    except ImageError as error:
        return f"{path}: {error}"
    turned = header.orientation >= SIDEWAYS
    return (header.height, header.width) if turned else (header.width, header.height)


def _repeated(rows: Sequence[ScoredRow]) -> list[RowProblem]:
    first: dict[tuple[Path, Path], int] = {}
    problems = []
    for row in rows:
        if row.reference is None or row.candidate is None:
            continue
        earlier = first.setdefault((row.reference, row.candidate), row.number)
        if earlier != row.number:
            text = f"scores the pair of row {earlier} again: keep one of them"
            problems.append(RowProblem(row.file, row.number, text))
    return problems


def _too_alike(rows: Sequence[ScoredRow]) -> list[RowProblem]:
    if not rows:
        return []
    last = rows[-1]
    problems = []
    references = {row.reference for row in rows if row.reference is not None}
    if len(references) == 1:
        text = (
            f"all {len(rows)} rows have one reference, {references.pop()}: expected at least "
            f"{FEWEST_REFERENCES} references, since intervals are taken over references"
        )
        problems.append(RowProblem(last.file, last.number, text))
    scores = {row.score for row in rows if row.score is not None}
    if len(scores) == 1:
        text = f"every score is {scores.pop():g}: expected scores that differ"
        problems.append(RowProblem(last.file, last.number, text))
    return problems
