"""The last stage of the embedded metric: its head of size and presence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np

from dps_infer.model.manifest import DataInfo
from dps_train.fit.checkpoints import Checkpoint, Plan
from dps_train.fit.presence.bank import Collection, measured_pairs
from dps_train.fit.presence.stored import bank_recipe, open_folder
from dps_train.fit.presence.training import train_presence
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.embedded.embedded_metric import Recipe
from dps_train.pretrain.images.mixture import KIND_SHARES, PAGE_SHARES, kept_images
from dps_train.seeds import generator_for

IMAGES, PAGES = 3000, 800
"""Images of all kinds, and pages and screens besides them."""

SIDE = 288
"""Side in pixels of the images: that of the larger pictures, and their surroundings."""

COLLECTIONS = (
    Collection("paper", 12_000, 64, paper=True, weight=2.5),
    Collection("own", 9000, 192, paper=False),
    Collection("parts", 4000, 192, paper=False, families="parts", weight=0.5),
    Collection("graded", 3000, 192, paper=False, families="graded", weight=0.5),
    Collection("fading", 3000, 192, paper=False, families="fading", weight=0.5),
    Collection("pages", 3000, 192, paper=False, families="pages", weight=0.5),
)
STEPS = 8000


def pretrain_presence(
    metric: ChangeMetric,
    seed: int,
    folder: Path | None = None,
    *,
    images: int = IMAGES,
    pages: int = PAGES,
    collections: tuple[Collection, ...] = COLLECTIONS,
    steps: int = STEPS,
    note: Callable[[str], None] = lambda _: None,
) -> Recipe:
    """Train the head of a metric whose network is trained, in place.

    Args:
        metric: with a trained network.
        seed: of everything random.
        folder: keeps images, measured pairs and a checkpoint, so that a run that was cut off
            continues; None keeps none.
        images: how many of all kinds to draw.
        pages: how many pages and screens to draw besides them.
        collections: of pairs to measure.
        steps: of the training.
        note: receives a line about the loss now and then.

    Returns:
        How the head was trained.
    """
    drawn = {
        name: kept_images(
            None if folder is None else folder / f"{name}-{seed}.safetensors",
            count,
            SIDE,
            generator_for(f"{name} of the head", seed),
            shares,
        )
        for name, count, shares in (("images", images, KIND_SHARES), ("pages", pages, PAGE_SHARES))
    }
    pixels = {
        name: [np.ascontiguousarray(image.permute(1, 2, 0)) for image in found]
        for name, found in drawn.items()
    }
    pairs = checkpoint = None
    if folder is not None:
        pairs = folder / "pairs"
        recipe = bank_recipe(metric, list(chain(*pixels.values())), collections, seed)
        open_folder(pairs, recipe, renew=True)
        told = json.dumps(recipe, sort_keys=True).encode()
        plan: Plan = {"steps": steps, "seed": seed, "pairs": hashlib.sha256(told).hexdigest()}
        checkpoint = Checkpoint(folder / "training.safetensors", plan)
    banks = []
    for one in collections:
        scenes = pixels["pages" if one.families == "pages" else "images"]
        banks.append((one, measured_pairs(one, metric, scenes, seed, pairs)))
    train_presence(metric, banks, steps=steps, seed=seed, checkpoint=checkpoint, note=note)
    digest = hashlib.sha256()
    for found in drawn.values():
        digest.update(found.numpy().data)
    data = DataInfo(
        source="dps_train.pretrain.images", images=images + pages, sha256=digest.hexdigest()
    )
    return Recipe(data, steps, seed)
