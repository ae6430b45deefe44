"""The folder that keeps measured pairs between trainings, and the recipe that they follow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dps_infer.arrays import Pixels
from dps_infer.errors import OutputError
from dps_infer.files.write import atomic_file
from dps_train.fit.presence.bank import BankError, Collection
from dps_train.model.backbone.weights import state_sha256
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.recipes import field_differences
from dps_train.versions import installed_versions

RECIPE = "recipe.json"
FORMAT_VERSION = 4
PARTS = "*.safetensors"
TOOLS = ("dps-toolkit", "torch", "torchvision", "numpy", "opencv-python-headless")


def bank_recipe(
    metric: ChangeMetric, images: Sequence[Pixels], collections: Sequence[Collection], seed: int
) -> dict[str, object]:
    """Return everything that determines measured pairs, as JSON."""
    pixels = hashlib.sha256()
    for image in images:
        pixels.update(str(image.shape).encode())
        pixels.update(image.tobytes())
    return {
        "format": FORMAT_VERSION,
        "images": len(images),
        "images_sha256": pixels.hexdigest(),
        "collections": [asdict(collection) for collection in collections],
        "seed": seed,
        "network_sha256": state_sha256(metric.backbone),
        "code_sha256": state_sha256(metric.comparison.code),
        "working_size": metric.preprocess.size,
        "tools": installed_versions(TOOLS),
    }


def open_folder(folder: Path, recipe: dict[str, object], *, renew: bool) -> None:
    """Make a folder ready for pairs of a recipe; pairs of the same recipe stay.

    Args:
        folder: new, empty, or of measured pairs.
        recipe: from `bank_recipe`.
        renew: remove pairs of another recipe.

    Raises:
        BankError: it holds pairs of another recipe, and `renew` is false, or other things.
        OutputError: it cannot be written.
    """
    path = folder / RECIPE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [one.name for one in folder.iterdir() if not one.match(PARTS)]
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error}): name another folder") from error
    if set(others) - {RECIPE} or (not others and any(folder.iterdir())):
        raise BankError(f"{folder} holds other things than measured pairs: name another folder")
    if others:
        differing = _differing(path, recipe)
        if not differing:
            return
        if not renew:
            raise BankError(
                f"{folder} holds pairs that were measured otherwise ({', '.join(differing)}): name "
                "another folder, or pass --force to measure them anew"
            )
        for part in folder.glob(PARTS):
            part.unlink()
    with atomic_file(path, force=True) as temporary:
        temporary.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def _differing(path: Path, recipe: dict[str, object]) -> list[str]:
    """Name the fields that differ from a stored recipe."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return [f"{RECIPE} cannot be read"]
    return field_differences(stored, recipe)
