"""Pictures to judge: references, changes of each, and the amounts that the metric reports.

Half of the changes are of one kind, half combine two; strengths are random. Kinds are the
distortions and the other changes that training uses.

A distortion whose strength is in pixels, according to its `unit`, is meant for the size of training
images. It is applied to a picture of that size, which is then enlarged.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.errors import UsageError
from dps_infer.progress import Progress, ignore
from dps_train.data.crops import TRAINING_SIZE, to_tensor
from dps_train.data.sources import folder_images, load_training, read_pixels
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.other.kinds import TRAINED
from dps_train.distortions.paper import DISTORTIONS
from dps_train.distortions.random_changes import rows_by_kind
from dps_train.judgements.importances import Numbers, scaled_differences
from dps_train.model.metric import Metric
from dps_train.model.resizing import resize

REFERENCES = 40
CHANGES = 8
"""Changes of each reference."""

SIDE = 256
"""Side of a picture in pixels."""

WEAKEST = 0.15
"""Share of the largest amount below which a change is hard to see."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image uint8 RGB [H, W, 3]; equal pixels have equal file names."""

    name: str
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Pool:
    """Triplets to choose questions from.

    Attributes:
        triplets: reference, p0 and p1 of each [T].
        differences: of their amounts [T, A]
            (`dps_train.judgements.importances.scaled_differences`).
        distortions: to draw changes from, in addition to other changes.
    """

    triplets: list[tuple[Picture, Picture, Picture]]
    differences: Numbers
    distortions: Sequence[Distortion]


def draw_pool(
    source: str,
    metric: Metric,
    generator: torch.Generator,
    excluded: Path,
    distortions: Sequence[Distortion] = DISTORTIONS,
    progress: Progress = ignore,
) -> Pool:
    """Draw references and changes of them, and compare them with an additive metric.

    Args:
        source: `sample`, a dataset's name, or a folder.
        metric: reports the amounts.
        generator: draws everything.
        excluded: a folder below `source` to skip: the pictures that were written there.
        distortions: to draw changes from, in addition to other changes.
        progress: called with the number of pictures done and their total.

    Raises:
        UsageError: there are no such images.
        ImageError: an image cannot be read.
    """
    read = _references(source, generator, excluded)
    total = len(read) * (CHANGES + 1)
    progress(0, total)
    references = torch.cat([_square(image) for image in read])
    changed = torch.stack(
        [
            _changed(references, 2 if number % 2 else 1, distortions, generator)
            for number in range(CHANGES)
        ],
        dim=1,
    )
    triplets: list[tuple[Picture, Picture, Picture]] = []
    first, second = [], []
    for number, reference in enumerate(_pixels(references)):
        candidates = _pixels(changed[number])
        amounts = picture_amounts(metric, reference, candidates)
        pictures = [_picture(pixels) for pixels in candidates]
        for one, other in itertools.combinations(range(CHANGES), 2):
            if torch.rand((), generator=generator) < 0.5:
                one, other = other, one
            triplets.append((_picture(reference), pictures[one], pictures[other]))
            first.append(amounts[one])
            second.append(amounts[other])
        # Comparing takes most of the time.
        progress((number + 1) * (CHANGES + 1), total)
    differences = scaled_differences(torch.stack(first), torch.stack(second))
    return Pool(triplets, differences, distortions)


@torch.no_grad()
def picture_amounts(metric: Metric, reference: Pixels, candidates: Pixels) -> Tensor:
    """Return the amounts [N, A] between a picture [H, W, 3] and others [N, H, W, 3]."""
    amounts, _ = metric.read(torch.from_numpy(reference[None]), torch.from_numpy(candidates))
    return amounts


def _references(source: str, generator: torch.Generator, excluded: Path) -> list[Pixels]:
    """Return at most `REFERENCES` images; in a folder, only those are read."""
    paths: list[Path] = []
    images: tuple[Pixels, ...] = ()
    if Path(source).is_dir():
        skipped = excluded.resolve()
        paths = [p for p in folder_images(Path(source)) if skipped not in p.resolve().parents]
    else:
        images = load_training(source, generator).images
    count = len(paths) or len(images)
    if not count:
        raise UsageError(f"{source} holds no image: expected files like .jpg or .png in it")
    chosen = torch.randperm(count, generator=generator)[:REFERENCES].tolist()
    return [read_pixels(paths[i]) if paths else images[i] for i in chosen]


def _square(image: Pixels) -> Tensor:
    """Crop the middle and resize it to `SIDE`: float RGB [1, 3, SIDE, SIDE] in [0, 1]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = to_tensor(np.ascontiguousarray(image[top : top + side, left : left + side]))
    resized = F.interpolate(
        middle, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.clamp(0, 1)


def _changed(
    images: Tensor, count: int, distortions: Sequence[Distortion], generator: torch.Generator
) -> Tensor:
    """Change each image in `count` different ways, one after the other."""
    kinds = torch.rand(len(images), len(distortions) + 1, generator=generator).argsort(dim=1)
    changed = images.clone()
    for step in range(count):
        share = WEAKEST + (1 - WEAKEST) * torch.rand(len(images), generator=generator)
        direction = torch.rand(len(images), generator=generator)
        other = int(torch.randint(len(TRAINED), (), generator=generator))
        for number, rows in rows_by_kind(kinds[:, step]):
            if number == len(distortions):
                change = list(TRAINED.values())[other]
                changed[rows] = change(changed[rows], share[rows], generator)
            else:
                distortion = distortions[number]
                strength = distortion.strength_at(share[rows])
                parameters = distortion.with_strength(strength, direction[rows])
                changed[rows] = _distorted(distortion, changed[rows], parameters)
    return changed


def _distorted(distortion: Distortion, images: Tensor, parameters: Tensor) -> Tensor:
    if not distortion.in_pixels:
        return distortion.apply(images, parameters)
    return resize(distortion.apply(resize(images, TRAINING_SIZE), parameters), SIDE)


def _pixels(images: Tensor) -> Pixels:
    """Return float RGB [N, 3, H, W] as uint8 RGB [N, H, W, 3]."""
    rounded = (images * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())


def _picture(pixels: Pixels) -> Picture:
    return Picture(f"{hashlib.sha256(pixels.tobytes()).hexdigest()[:16]}.png", pixels)
