"""The last stage of the embedded metric: its head of size and presence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dps_infer.model.manifest import DataInfo
from dps_train.fit.presence.bank import Collection, measured_pairs
from dps_train.fit.presence.stored import bank_recipe, open_folder
from dps_train.fit.presence.training import train_presence
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.embedded.embedded_metric import Recipe
from dps_train.pretrain.images.mixture import kept_images
from dps_train.seeds import generator_for

IMAGES = 3000
SIDE = 288
"""Side in pixels of the images: that of the larger pictures, and their surroundings."""

COLLECTIONS = (
    Collection("paper", 12_000, 64, paper=True, weight=1.5),
    Collection("own", 12_000, 192, paper=False),
    Collection("parts", 4000, 192, paper=False, parts=True, weight=0.5),
)
STEPS = 12_000


def pretrain_presence(
    metric: ChangeMetric,
    seed: int,
    folder: Path | None = None,
    *,
    images: int = IMAGES,
    collections: tuple[Collection, ...] = COLLECTIONS,
    steps: int = STEPS,
    note: Callable[[str], None] = lambda _: None,
) -> Recipe:
    """Train the head of a metric whose network is trained, in place.

    Args:
        metric: with a trained network.
        seed: of everything random.
        folder: keeps images and measured pairs, so that a run that was cut off continues; None
            keeps none.
        images: how many to draw.
        collections: of pairs to measure.
        steps: of the training.
        note: receives a line about the loss now and then.

    Returns:
        How the head was trained.
    """
    generator = generator_for("images of the head", seed)
    kept = None if folder is None else folder / f"images-{seed}.safetensors"
    drawn = kept_images(kept, images, SIDE, generator)
    pixels = [np.ascontiguousarray(image.permute(1, 2, 0)) for image in drawn]
    pairs = None if folder is None else folder / "pairs"
    if pairs is not None:
        open_folder(pairs, bank_recipe(metric, pixels, collections, seed), renew=True)
    banks = [(one, measured_pairs(one, metric, pixels, seed, pairs)) for one in collections]
    train_presence(metric, banks, steps=steps, seed=seed, note=note)
    digest = hashlib.sha256(drawn.numpy().data).hexdigest()
    data = DataInfo(source="dps_train.pretrain.images", images=images, sha256=digest)
    return Recipe(data, steps, seed)
