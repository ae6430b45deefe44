"""Read judged triplets from a CSV file, and check the file as a whole.

The columns are ``reference,p0,p1,judge`` in any order: paths relative to the file, and the share
of people, 0 to 1, to whom p1 was closer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dps_infer.errors import ImageError
from dps_infer.progress import track
from dps_train.data.csv_rows import Problem, read_csv_rows, refuse_problems
from dps_train.data.sources import read_pixels
from dps_train.judgements.triplets import Triplets, size_difference

IMAGES = ("reference", "p0", "p1")
JUDGE = "judge"
COLUMNS = (*IMAGES, JUDGE)

FEWEST_JUDGEMENTS = 5
"""Fewer are too few to train on."""


def read_triplets(
    path: Path, note: Callable[[str], None] = lambda _: None, *, fewest: int = 1
) -> Triplets:
    """Read a CSV file of judgements and check every image that it names.

    Args:
        path: the file.
        note: receives one line about triplets that were judged both ways, if `fewest` is 1. Their
            rows are kept: the disagreement of people can be measured.
        fewest: smallest number of judgements. Above 1 they are to be trained on, and triplets
            that were judged both ways are refused.

    Raises:
        UsageError: the file cannot be opened.
        DataError: with every problem: columns, judgements, images missing or unreadable, sizes
            that differ within a triplet, too few rows, rows that contradict each other.
    """
    rows, problems = _read_rows(path)
    sizes: dict[Path, tuple[int, ...] | str] = {}
    for row in track(rows, "judged images"):
        problems += [(row.number, text) for text in _image_problems(row, sizes)]
    if not rows and not problems:
        problems.append((2, f"holds no judgement: expected values of {','.join(COLUMNS)}"))
    elif 0 < len(rows) < fewest:
        problems.append(
            (rows[-1].number, f"is the last of {len(rows)}: expected at least {fewest} judgements")
        )
    both = _judged_both_ways(rows)
    if fewest > 1:
        problems += [
            (
                number,
                f"contradicts row {earlier}: keep one of them, with the share of people who chose "
                "its p1 as judge",
            )
            for earlier, numbers in both
            for number in numbers
        ]
    refuse_problems(path, problems)
    if both:
        note(
            f"{path}: {len(both)} triplet{'s' * (len(both) != 1)} judged both ways, such as in "
            f"rows {both[0][0]} and {both[0][1][0]}: all rows are kept"
        )
    reference, p0, p1 = (tuple(row.images[name] for row in rows) for name in IMAGES)
    judge = tuple(row.judge for row in rows if row.judge is not None)
    return Triplets(path.name, reference, p0, p1, judge)


@dataclass(frozen=True)
class _Row:
    """A row as far as it is valid: images of missing columns are absent, a wrong judge is None."""

    number: int
    images: dict[str, Path]
    judge: float | None


def _read_rows(path: Path) -> tuple[list[_Row], list[Problem]]:
    read, problems = read_csv_rows(path, COLUMNS)
    rows: list[_Row] = []
    for row in read:
        judge = _judge(row.cells.get(JUDGE, ""))
        if JUDGE in row.cells and judge is None:
            problems.append(
                (
                    row.number,
                    f"judge is {row.cells[JUDGE]!r}: expected a number from 0 (p0 is closer) to 1 "
                    "(p1 is closer)",
                )
            )
        images = {name: path.parent / row.cells[name] for name in IMAGES if name in row.cells}
        rows.append(_Row(row.number, images, judge))
    return rows, problems


def _judge(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _image_problems(row: _Row, sizes: dict[Path, tuple[int, ...] | str]) -> Iterator[str]:
    """Yield problems of a row's images; `sizes` caches shapes, or why an image is unreadable."""
    for path in row.images.values():
        if path not in sizes:
            try:
                sizes[path] = read_pixels(path).shape
            except ImageError as error:
                sizes[path] = str(error)
    shapes = []
    for name, path in row.images.items():
        size = sizes[path]
        if isinstance(size, str):
            yield f"{name}: {size}"
        else:
            shapes.append(size)
    if len(shapes) == len(row.images):
        difference = size_difference(list(row.images.values()), shapes)
        if difference is not None:
            yield difference


def _judged_both_ways(rows: Sequence[_Row]) -> list[tuple[int, list[int]]]:
    """Return the first row of each triplet judged both ways, and the rows that contradict it."""
    first: dict[tuple[Path, ...], tuple[int, Path]] = {}
    against: dict[int, list[int]] = {}
    for row in rows:
        if len(row.images) == len(IMAGES) and row.judge is not None and row.judge != 0.5:
            reference, p0, p1 = (row.images[name] for name in IMAGES)
            closer = p1 if row.judge > 0.5 else p0
            number, chosen = first.setdefault((reference, *sorted((p0, p1))), (row.number, closer))
            if closer != chosen:
                against.setdefault(number, []).append(row.number)
    return list(against.items())
