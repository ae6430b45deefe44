"""The bank that the head of size and presence is trained on: families of changes, measured once.

It is written in parts, so that a run that was cut off continues where it stopped. Threads measure
a part each.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file
from dps_infer.progress import track
from dps_train.distortions.changes.detail import jpeg
from dps_train.distortions.changes.draw import Scene, rounded
from dps_train.distortions.changes.families import (
    IN_GRADED,
    IN_PARTS,
    MEMBERS,
    ON_PAGES,
    PARTS,
    Member,
    fading_family,
    family,
    graded_family,
    page_family,
    part_family,
)
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.half_planes import CELL, extent_of

SCENES_PER_PART = 200
SCENES_AT_ONCE = 3
CHANGED = 8 / 255
"""Difference from which on a pixel counts as changed."""

RECOLORED, MIRRORED, RESCALED, COMPRESSED = 0.5, 0.3, 0.3, 0.5
"""Shares of scenes; at 64 pixels, none is compressed: shrinking removes its traces."""

QUALITIES = (65, 97)
"""Of compressed scenes, as photographs come: a change of one is no compression."""

BLOCK = 8

HASH = "sha256"
"""Key of the metadata of a stored part: `part_sha256` of it when it was written."""

GAMMA = 0.25
MARGIN = 0.3
"""Surroundings of a rescaled scene, as a share of its side."""


class BankError(DpsError):
    """Stored pairs that are damaged, or were measured otherwise, or of other things."""


FAMILIES = {
    "parts": (part_family, IN_PARTS),
    "graded": (graded_family, IN_GRADED),
    "pages": (page_family, ON_PAGES),
    "fading": (fading_family, IN_GRADED),
}
"""Families besides the mixed ones: their functions and numbers of members."""


@dataclass(frozen=True)
class Collection:
    """Scenes of one size.

    Attributes:
        name: of the files.
        scenes: number of scenes.
        side: of what is looked at, in pixels.
        paper: mostly the paper's distortions.
        families: "mixed" (`families.family`), "parts" (`part_family`), "graded"
            (`graded_family`), "pages" (`page_family`) or "fading" (`fading_family`).
        weight: of its loss.
    """

    name: str
    scenes: int
    side: int
    paper: bool
    families: str = "mixed"
    weight: float = 1.0

    @property
    def members(self) -> int:
        """The number of pairs of each scene."""
        if self.families == "mixed":
            return MEMBERS + (0 if self.paper else PARTS)
        return FAMILIES[self.families][1]


@dataclass(frozen=True)
class MeasuredPairs:
    """P pairs, family by family.

    Attributes:
        total: unadapted distance of the network's maps [P].
        terms: see `dps_train.model.change.comparison.Change`.
        features: see `Change`.
        motion: see `Change`.
        cells: features of C cells, in half precision [P, C, 2, FEATURES].
        cell_distances: [P, C].
        code: of the network [P, code].
        side: of the images [P].
        present: kinds that were applied [P, K].
        strengths: in the kinds' units [P, K].
        directions: [P, K].
        weaker: index in the family of a weaker version, or -1 [P].
        alone: indices of the changes that this one combines, or -1 [P, 2].
        part: share of each cell that was looked at for a change of a part [P, C]; 1 for others.
        local: 1 for changes of a part [P].
        changed: share of the changed pixels of each cell [P, C].
        visible: mean absolute difference, of 1 [P].
    """

    total: Tensor
    terms: Tensor
    features: Tensor
    motion: Tensor
    cells: Tensor
    cell_distances: Tensor
    code: Tensor
    side: Tensor
    present: Tensor
    strengths: Tensor
    directions: Tensor
    weaker: Tensor
    alone: Tensor
    part: Tensor
    local: Tensor
    changed: Tensor
    visible: Tensor

    def rows(self, index: Tensor) -> MeasuredPairs:
        """Return some pairs."""
        return MeasuredPairs(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def measured_pairs(
    collection: Collection,
    metric: ChangeMetric,
    images: Sequence[Pixels],
    seed: int,
    folder: Path | None = None,
) -> MeasuredPairs:
    """Measure a collection, or read what an earlier run has measured.

    Args:
        collection: what to measure.
        metric: its network is used, not its head.
        images: uint8 RGB [H, W, 3] to draw scenes from.
        seed: of the scenes and changes.
        folder: keeps parts, so that a run that was cut off continues; None keeps none.

    Raises:
        BankError: a stored part is damaged.
    """
    stopped = threading.Event()

    def part(start: int) -> dict[str, Tensor]:
        path = None if folder is None else folder / f"{collection.name}-{start}.safetensors"
        if path is not None and path.exists():
            return read_part(path)
        drawn = int(collection.paper) + 2 * ["mixed", *FAMILIES].index(collection.families)
        rng = np.random.default_rng([seed, collection.side, drawn, start])
        count = min(SCENES_PER_PART, collection.scenes - start)
        measured = _measure(collection, count, metric, images, rng, stopped)
        if path is not None:
            with atomic_file(path, force=True) as temporary:
                facts = {HASH: part_sha256(measured)}
                safetensors.torch.save_file(measured, temporary, metadata=facts)
        return measured

    starts = range(0, collection.scenes, SCENES_PER_PART)
    with _one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:
        found = pool.map(part, starts)
        try:
            parts = [next(found) for _ in track(starts, f"measuring {collection.name}")]
        except BaseException:
            stopped.set()
            raise
    return MeasuredPairs(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


@contextmanager
def _one_torch_thread() -> Iterator[int]:
    """Let PyTorch compute in the thread that calls it, and give the number it would have used.

    Small images occupy a second thread badly: with two, parts side by side take 0.6 of the time.
    Besides, sums have the same order on any number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def read_part(path: Path) -> dict[str, Tensor]:
    """Read the fields of `MeasuredPairs` from a stored part.

    Raises:
        BankError: it is not as it was written.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            stated = (file.metadata() or {}).get(HASH)
            part = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, RuntimeError, ValueError) as error:
        raise _damaged(path) from error
    if stated != part_sha256(part):
        raise _damaged(path)
    return part


def _damaged(path: Path) -> BankError:
    return BankError(f"{path} is damaged: remove it, and its pairs are measured again")


def part_sha256(part: dict[str, Tensor]) -> str:
    """Hash the names, types, shapes and values of a part."""
    found = hashlib.sha256()
    for name, values in sorted(part.items()):
        found.update(f"{name} {values.dtype} {list(values.shape)}".encode())
        found.update(values.contiguous().numpy().tobytes())
    return found.hexdigest()


def _measure(
    collection: Collection,
    count: int,
    metric: ChangeMetric,
    images: Sequence[Pixels],
    rng: np.random.Generator,
    stopped: threading.Event,
) -> dict[str, Tensor]:
    """Measure a part, unless another thread says that it is not needed any more."""
    batches = []
    for start in range(0, count, SCENES_AT_ONCE):
        if stopped.is_set():
            raise CancelledError
        references: list[Pixels] = []
        index: list[int] = []
        members: list[Member] = []
        for _ in range(min(SCENES_AT_ONCE, count - start)):
            scene = draw_scene(images, collection, rng)
            if collection.families == "mixed":
                drawn = family(scene, rng, paper=collection.paper)
            else:
                drawn = FAMILIES[collection.families][0](scene, rng)
            index += [len(references)] * len(drawn)
            references.append(scene.middle())
            members += drawn
        batches.append(_measured(metric, references, index, members))
    return {name: torch.cat([batch[name] for batch in batches]).contiguous() for name in batches[0]}


def draw_scene(images: Sequence[Pixels], collection: Collection, rng: np.random.Generator) -> Scene:
    """Draw a picture with surroundings, at its own or another scale, some recolored."""
    chosen = rng.integers(len(images), size=2)
    whole, other = (_square(images[int(i)], collection, rng) for i in chosen)
    full, side = whole.shape[0], collection.side
    if collection.paper:
        sides = side if rng.random() < 0.5 else int(rng.integers(side, full + 1))
        whole, other = (_resized(part, sides, cv2.INTER_AREA) for part in (whole, other))
    elif rng.random() < RESCALED:
        part = int(rng.integers(min(round(side * (1 + MARGIN)), full), full + 1))
        whole = _resized(whole[:part, :part], full, cv2.INTER_CUBIC)
    if rng.random() < RECOLORED:
        exponent = np.float32(np.exp(GAMMA * rng.standard_normal()))
        whole = rounded(255 * (whole[..., rng.permutation(3)] / np.float32(255)) ** exponent)
    if rng.random() < MIRRORED:
        whole = np.ascontiguousarray(whole[:, ::-1])
    if not collection.paper and rng.random() < COMPRESSED:
        whole = _compressed(whole, side, rng)
    return Scene(whole, side, Scene(other, side, other).middle())


def _compressed(whole: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """Compress a scene as JPEG; in half of them, blocks begin at the corner of its middle."""
    start = (whole.shape[0] - side) // 2
    first = start % BLOCK if rng.random() < 0.5 else 0
    compressed = whole.copy()
    compressed[first:, first:] = jpeg(whole[first:, first:], int(rng.integers(*QUALITIES)))
    return compressed


def _square(image: Pixels, collection: Collection, rng: np.random.Generator) -> Pixels:
    """Return a square part of an image with surroundings, enlarged if it is too small.

    Of images for the paper's changes it is as large as it can be.
    """
    height, width = image.shape[:2]
    least = round(collection.side * (1 + MARGIN))
    length = min(height, width)
    if not collection.paper:
        length = min(length, round(least * (1 + MARGIN * rng.random())))
    top, left = (int(rng.integers(size - length + 1)) for size in (height, width))
    part = np.ascontiguousarray(image[top : top + length, left : left + length])
    return part if length >= least else _resized(part, least, cv2.INTER_CUBIC)


def _resized(image: Pixels, side: int, method: int) -> Pixels:
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)


@torch.no_grad()
def _measured(
    metric: ChangeMetric, references: list[Pixels], index: list[int], members: list[Member]
) -> dict[str, Tensor]:
    first, second = _stacked(references), _stacked([m.pixels for m in members])
    rows, device = torch.tensor(index), metric.head.scale.device
    one, two = metric.described(first.to(device)), metric.described(second.to(device))
    z, _, change = metric.comparison.compared([part[rows] for part in one], two)
    lengths = metric.head.lengths
    difference = (first[rows].float() - second.float()).abs() / 255
    whole = np.ones(references[0].shape[:2], np.float32)
    part = np.stack([whole if m.part is None else m.part for m in members])
    found = {
        "total": z[:, 0],
        "terms": change.terms,
        "features": change.features,
        "motion": change.motion,
        "cells": change.cells.flatten(3).permute(0, 3, 1, 2).half(),
        "cell_distances": change.cell_distances.flatten(1),
        "code": z[:, -lengths[-1] :],
    }
    return {name: values.cpu() for name, values in found.items()} | {
        "side": extent_of(second).side.expand(len(members)),
        "present": _stacked([m.present for m in members]),
        "strengths": _stacked([m.strengths for m in members]),
        "directions": _stacked([m.directions for m in members]),
        "weaker": torch.tensor([m.weaker for m in members]),
        "alone": torch.tensor([m.alone for m in members]),
        "part": _in_cells(torch.from_numpy(part)),
        "local": torch.tensor([float(m.part is not None) for m in members]),
        "changed": _in_cells((difference.amax(dim=-1) > CHANGED).float()),
        "visible": difference.mean(dim=(1, 2, 3)),
    }


def _stacked(rows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(rows))


def _in_cells(values: Tensor) -> Tensor:
    """Average [P, S, S] over cells: [P, C]."""
    side = values.shape[-1]
    return F.avg_pool2d(F.pad(values, (0, -side % CELL, 0, -side % CELL)), CELL).flatten(1)
