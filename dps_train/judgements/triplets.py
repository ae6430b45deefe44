"""Triplets judged by people: read from a CSV file, checked as a whole, decoded batch by batch.

The file is UTF-8 text with the columns ``reference,p0,p1,judge`` in any order: paths
relative to the file, and the share of people, 0 to 1, to whom p1 was closer. Rows count as
in a spreadsheet: the columns' names are row 1.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dps_infer.errors import DataError, ImageError, UsageError
from dps_infer.progress import track
from dps_train.data.batches import to_tensor
from dps_train.data.sources import FEWEST_IMAGES, HELD_OUT_SHARE, Image, read_pixels
from dps_train.model.metric import resize

IMAGES = ("reference", "p0", "p1")
JUDGE = "judge"
FEWEST_JUDGEMENTS = 5
"""Fewer say too little to train on."""
COLUMNS = (*IMAGES, JUDGE)

Problem = tuple[int, str]
"""The row that it is in, and what it is."""


@dataclass(frozen=True)
class Triplets:
    """Judged triplets, whose images stay on disk; each of the four holds one a triplet.

    Attributes:
        source: what to call them.
        reference: image files.
        p0: of the first candidates, each of its reference's size.
        p1: of the second candidates, likewise.
        judge: in [0, 1]: 0 = p0 is closer, 1 = p1 is.
    """

    source: str
    reference: tuple[Path, ...]
    p0: tuple[Path, ...]
    p1: tuple[Path, ...]
    judge: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.judge)

    def select(self, rows: Sequence[int]) -> Triplets:
        """Return some of the triplets, in the order of `rows`."""
        return dataclasses.replace(
            self,
            reference=tuple(self.reference[row] for row in rows),
            p0=tuple(self.p0[row] for row in rows),
            p1=tuple(self.p1[row] for row in rows),
            judge=tuple(self.judge[row] for row in rows),
        )

    def sha256(self) -> str:
        """Return a hash over all sizes, pixels and judgements, in order.

        Raises:
            ImageError: an image cannot be read any more.
        """
        digest = hashlib.sha256()
        for *paths, judge in zip(self.reference, self.p0, self.p1, self.judge, strict=True):
            for path in paths:
                image = read_pixels(path)
                digest.update(str(image.shape).encode())
                digest.update(np.ascontiguousarray(image).data)
            digest.update(repr(judge).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class TripletImages:
    """Some triplets at the working size.

    Attributes:
        reference: float RGB [N, 3, size, size] in [0, 1].
        p0: likewise.
        p1: likewise.
        judge: [N].
    """

    reference: Tensor
    p0: Tensor
    p1: Tensor
    judge: Tensor


def _ignore(_text: str) -> None:
    """Take a note that nobody asked for."""


def read_triplets(
    path: Path, note: Callable[[str], None] = _ignore, *, fewest: int = 1
) -> Triplets:
    """Read a CSV file of judgements and look at every image that it names.

    Args:
        path: the file.
        note: told, in one line, of triplets that were judged both ways, where `fewest` is 1.
            They are kept: that people disagree can be measured.
        fewest: judgements that there must be. If that is more than 1, they are to be trained
            on, and triplets that were judged both ways are refused.

    Raises:
        UsageError: there is no such file, or it cannot be read.
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
    if problems:
        # Stable: the problems of a row stay in order.
        problems.sort(key=lambda problem: problem[0])
        raise DataError([f"{path} row {number}: {text}" for number, text in problems])
    if both:
        note(
            f"{path}: {len(both)} triplet{'s' * (len(both) != 1)} judged both ways, such as in "
            f"rows {both[0][0]} and {both[0][1][0]}: all rows are kept"
        )
    reference, p0, p1 = (tuple(row.images[name] for row in rows) for name in IMAGES)
    judge = tuple(row.judge for row in rows if row.judge is not None)
    return Triplets(path.name, reference, p0, p1, judge)


def split_triplets(triplets: Triplets, generator: torch.Generator) -> tuple[Triplets, Triplets]:
    """Return triplets to train on and held-out ones, which share no reference image.

    Raises:
        UsageError: there are too few reference images.
    """
    references = list(dict.fromkeys(triplets.reference))
    if len(references) < FEWEST_IMAGES:
        raise UsageError(
            f"{triplets.source} has {len(references)} different reference "
            f"image{'s' * (len(references) != 1)}: training and holding some out takes at least "
            f"{FEWEST_IMAGES}"
        )
    order = torch.randperm(len(references), generator=generator).tolist()
    held_out = {references[i] for i in order[: round(HELD_OUT_SHARE * len(references))]}
    rows: tuple[list[int], list[int]] = ([], [])
    for row, reference in enumerate(triplets.reference):
        rows[reference in held_out].append(row)
    return triplets.select(rows[0]), triplets.select(rows[1])


def load_triplets(triplets: Triplets, size: int) -> TripletImages:
    """Decode all of these triplets, resized as a metric's own preprocessing does.

    Raises:
        ImageError: an image cannot be read any more.
    """
    reference, p0, p1 = (
        torch.cat([resize(to_tensor(read_pixels(path)), size) for path in paths])
        for paths in (triplets.reference, triplets.p0, triplets.p1)
    )
    return TripletImages(reference, p0, p1, torch.tensor(triplets.judge))


def triplet_batches(triplets: Triplets, batch: int, size: int) -> Iterator[TripletImages]:
    """Yield all triplets in order, `batch` at a time; see `load_triplets`."""
    rows = range(len(triplets))
    for start in rows[::batch]:
        yield load_triplets(triplets.select(rows[start : start + batch]), size)


def pixel_batches(
    columns: Sequence[Sequence[Path]], batch: int
) -> Iterator[tuple[NDArray[np.uint8], ...]]:
    """Decode rows of images at their own sizes, in order.

    Args:
        columns: image files, as many in each; a row's images have one size.
        batch: how many rows to yield at most; fewer where the size changes.

    Yields:
        For each column, uint8 RGB [N, H, W, 3].

    Raises:
        ImageError: an image cannot be read, or the sizes in a row differ.
    """
    rows: list[list[Image]] = []
    for paths in zip(*columns, strict=True):
        row = [read_pixels(path) for path in paths]
        difference = _difference(paths, [image.shape for image in row])
        if difference is not None:
            raise ImageError(difference)
        if rows and (len(rows) == batch or rows[0][0].shape != row[0].shape):
            yield tuple(np.stack(images) for images in zip(*rows, strict=True))
            rows = []
        rows.append(row)
    if rows:
        yield tuple(np.stack(images) for images in zip(*rows, strict=True))


@dataclass(frozen=True)
class _Row:
    """What could be made of a row: nothing of columns that are missing, no judge if it is wrong."""

    number: int
    images: dict[str, Path]
    judge: float | None


def _read_rows(path: Path) -> tuple[list[_Row], list[Problem]]:
    problems: list[Problem] = []
    records = _records(path, problems)
    number, header = next(records, (1, []))
    if problems:
        # Without the columns' names no row means anything: what is wrong with them will do.
        return [], problems[:1]
    if sorted(header) != sorted(COLUMNS):
        came = f"the columns are {','.join(header)}" if header else "the file is empty"
        problems.append((number, f"{came}: expected {','.join(COLUMNS)}"))
    rows: list[_Row] = []
    if set(COLUMNS).isdisjoint(header):
        return rows, problems
    for number, values in records:
        if len(values) != len(header):
            problems.append((number, f"expected {len(header)} values, got {len(values)}"))
            continue
        cells = dict(zip(header, values, strict=True))
        judge = _judge(cells.get(JUDGE, ""))
        if JUDGE in cells and judge is None:
            problems.append(
                (
                    number,
                    f"judge is {cells[JUDGE]!r}: expected a number from 0 (p0 is closer) to 1 "
                    "(p1 is closer)",
                )
            )
        images = {name: path.parent / cells[name] for name in IMAGES if name in cells}
        rows.append(_Row(number, images, judge))
    return rows, problems


def _records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield number and values of the rows that hold any; add those that are no text to problems."""
    number = 0
    try:
        # What is not UTF-8 becomes surrogates, so that it costs its row and not the file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for number, values in enumerate(csv.reader(stream), start=1):
                if not all(_is_text(value) for value in values):
                    problems.append((number, "is not UTF-8 text: save the file as CSV in UTF-8"))
                elif values:
                    yield number, [value.strip() for value in values]
    except csv.Error as error:
        problems.append((number + 1, f"cannot be read as CSV in UTF-8 ({error})"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): expected a CSV file with the columns "
            f"{','.join(COLUMNS)}"
        ) from None


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in value)


def _judge(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _image_problems(row: _Row, sizes: dict[Path, tuple[int, ...] | str]) -> Iterator[str]:
    """Yield what is wrong with a row's images; `sizes` remembers images, or why there are none."""
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
    difference = None
    if len(shapes) == len(row.images):
        difference = _difference(list(row.images.values()), shapes)
    if difference is not None:
        yield difference


def _difference(paths: Sequence[Path], shapes: Sequence[tuple[int, ...]]) -> str | None:
    """Return how the sizes of a triplet's or pair's images differ."""
    if len(set(shapes)) == 1:
        return None
    sizes = ", ".join(
        f"{path} is {shape[1]}x{shape[0]}" for path, shape in zip(paths, shapes, strict=True)
    )
    return f"the sizes differ: {sizes} (width x height); crop or resize them to one"


def _judged_both_ways(rows: Sequence[_Row]) -> list[tuple[int, list[int]]]:
    """Return, of triplets that were judged both ways, the first row and those against it."""
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
