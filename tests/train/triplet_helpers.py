"""Judged triplets made on the spot: of people who follow hidden scalars, and in BAPPS's layout."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from train_helpers import photos, seeded

from dps_train.data.crops import random_crops
from dps_train.data.sources import TRAINING_PHOTOGRAPHS, photograph
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS
from dps_train.model.backbone.backbones import load_backbone
from dps_train.model.comparisons import Comparison
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

COLUMNS = ("reference", "p0", "p1", "judge")
SIZE = 64


@dataclass(frozen=True)
class Judgements:
    """A CSV file of triplets, and the rule that decided them.

    Attributes:
        path: the file.
        weights: the hidden scalars [D] on `spatial` channel distances.
        z0: channel distances of p0 to the reference [N, D], in the order of the rows.
        z1: channel distances of p1.
    """

    path: Path
    weights: Tensor
    z0: Tensor
    z1: Tensor


def write_judgements(
    folder: Path,
    count: int,
    *,
    distances: FeatureDistances | None = None,
    spread: float = 2.0,
    seed: int = 0,
) -> Judgements:
    """Write judgements.csv, and images beside it, of a judge with hidden per-channel scalars.

    References are random crops of photographs; each candidate is one of the six distortions
    in the paper's range. The judge chooses the smaller sum of w_c z_c, w log-normal.

    Args:
        folder: to write to.
        count: of triplets.
        distances: with the `spatial` comparison; default: on the embedded backbone.
        spread: standard deviation of log w. At 2 the unadapted metric agrees in 0.8 to 0.9 of the
            triplets, so that agreement above that is learnt.
        seed: of everything random.
    """
    if distances is None:
        backbone, comparison = load_backbone("embedded"), Comparison("spatial")
        # The head is not used.
        metric = Metric(Preprocess(SIZE), backbone, comparison, ScalarHead(1))
        distances = FeatureDistances(metric, torch.device("cpu"))
    generator = seeded(seed)
    images = [photograph(name) for name in TRAINING_PHOTOGRAPHS]
    reference = quantize(random_crops(images, count, SIZE, generator))
    candidates = [_distorted(reference, generator) for _ in range(2)]
    z0, z1 = (_z(distances, reference, one) for one in candidates)
    weights = (spread * torch.randn(z0.shape[1], generator=generator)).exp()
    judge = (z1 @ weights < z0 @ weights).int().tolist()
    rows = []
    for name, batch in zip(("reference", "p0", "p1"), (reference, *candidates), strict=True):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(batch):
            write_png(folder / name / f"{number}.png", to_pixels(image))
    for number, chosen in enumerate(judge):
        rows.append([*(f"{name}/{number}.png" for name in COLUMNS[:3]), chosen])
    return Judgements(write_csv(folder / "judgements.csv", rows), weights, z0, z1)


def write_csv(
    path: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = COLUMNS
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def write_bapps(folder: Path, *, splits: Sequence[str] = ("cnn", "traditional")) -> Path:
    """Write a few examples a split of random images and votes in BAPPS's layout, val and train.

    Among the votes are undecided ones and unanimous ones.
    """
    rng = np.random.default_rng(3)
    layouts = {
        "2afc/train": (("ref", "p0", "p1"), "judge", 3),
        "2afc/val": (("ref", "p0", "p1"), "judge", 11),
        "jnd/val": (("p0", "p1"), "same", 13),
    }
    for part, (columns, judgements, count) in layouts.items():
        for number, split in enumerate(splits):
            at = folder / part / split
            for name in (*columns, judgements):
                (at / name).mkdir(parents=True)
            votes = rng.choice([0, 0.2, 0.4, 0.5, 0.6, 0.8, 1], count)
            for column, name in enumerate(columns):
                for row, image in enumerate(photos(count, 24, 24, seed=10 * number + column)):
                    write_png(at / name / f"{row:06d}.png", image.numpy())
            for row, vote in enumerate(votes):
                np.save(at / judgements / f"{row:06d}.npy", np.array([vote], np.float32))
    return folder


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write uint8 RGB [H, W, 3]."""
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def to_pixels(image: Tensor) -> np.ndarray:
    """Return float RGB [3, H, W] in [0, 1] as uint8 RGB [H, W, 3]."""
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


def _distorted(images: Tensor, generator: torch.Generator) -> Tensor:
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    distorted = images.clone()
    for number, distortion in enumerate(DISTORTIONS):
        rows = torch.nonzero(kinds == number)[:, 0]
        parameters = distortion.sample(len(rows), generator)
        if len(rows):
            distorted[rows] = distortion.apply(images[rows], parameters)
    return quantize(distorted)


def _z(distances: FeatureDistances, first: Tensor, second: Tensor) -> Tensor:
    batches = zip(first.split(100), second.split(100), strict=True)
    return torch.cat([distances.z(distances.maps(one), other) for one, other in batches])
