"""Triplets judged by people: splitting them, and decoding their images batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError, UsageError
from dps_train.data.crops import to_tensor
from dps_train.data.sources import FEWEST_IMAGES, HELD_OUT_SHARE, read_pixels
from dps_train.model.resizing import resize


@dataclass(frozen=True)
class Triplets:
    """Judged triplets, whose images stay on disk; each of the four columns has one per triplet.

    Attributes:
        source: a name for messages and manifests.
        reference: image files.
        p0: the first candidates, each of its reference's size.
        p1: the second candidates.
        judge: in [0, 1]: 0 = p0 is closer, 1 = p1 is.
    """

    source: str
    reference: tuple[Path, ...]
    p0: tuple[Path, ...]
    p1: tuple[Path, ...]
    judge: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.judge)

    @property
    def ceiling(self) -> float:
        """The agreement of always answering as the majority of the judges did."""
        return float(np.mean([max(judge, 1 - judge) for judge in self.judge]))

    def select(self, rows: Sequence[int]) -> Triplets:
        """Return some of the triplets, in the order of `rows`."""
        reference, p0, p1 = (
            tuple(column[row] for row in rows) for column in (self.reference, self.p0, self.p1)
        )
        return Triplets(self.source, reference, p0, p1, tuple(self.judge[row] for row in rows))

    def sha256(self) -> str:
        """Return a hash over all sizes, pixels and judgements, in order."""
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
    """Some triplets at the working size: float RGB [N, 3, size, size] in [0, 1], and judge [N]."""

    reference: Tensor
    p0: Tensor
    p1: Tensor
    judge: Tensor


def split_triplets(triplets: Triplets, generator: torch.Generator) -> tuple[Triplets, Triplets]:
    """Return training triplets and held-out triplets, without a reference image in common.

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
    """Decode these triplets and resize them as in a metric's preprocessing, or raise ImageError."""
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


def pixel_batches(columns: Sequence[Sequence[Path]], batch: int) -> Iterator[tuple[Pixels, ...]]:
    """Decode rows of images at their own sizes, in order.

    Yields uint8 RGB [N, H, W, 3] for each column; N is at most `batch`, and less where the size
    changes. The images in a row have one size.

    Raises:
        ImageError: an image cannot be read, or the sizes in a row differ.
    """
    rows: list[list[Pixels]] = []
    for paths in zip(*columns, strict=True):
        row = [read_pixels(path) for path in paths]
        difference = size_difference(paths, [image.shape for image in row])
        if difference is not None:
            raise ImageError(difference)
        if rows and (len(rows) == batch or rows[0][0].shape != row[0].shape):
            yield tuple(np.stack(images) for images in zip(*rows, strict=True))
            rows = []
        rows.append(row)
    if rows:
        yield tuple(np.stack(images) for images in zip(*rows, strict=True))


def size_difference(paths: Sequence[Path], shapes: Sequence[tuple[int, ...]]) -> str | None:
    """Return a message if the images of a triplet or pair differ in size."""
    if len(set(shapes)) == 1:
        return None
    sizes = ", ".join(
        f"{path} is {shape[1]}x{shape[0]}" for path, shape in zip(paths, shapes, strict=True)
    )
    return f"the sizes differ: {sizes} (width x height); crop or resize them to one"
