"""The manifest of a stored distance bank: its format and its recipe."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from dps_train.bank.bank import FeatureDistances, crop_count
from dps_train.data.sources import Images
from dps_train.distortions.families import FAMILY
from dps_train.distortions.other.kinds import TRAINED
from dps_train.distortions.paper import DISTORTIONS
from dps_train.model.weights import state_sha256
from dps_train.versions import installed_versions

FORMAT_VERSION = 2

TOOLS = ("dps-toolkit", "torch", "torchvision", "numpy")

HASH_SHOWN = 12


class BankDistortion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The numbers that define strengths and amounts of a distortion."""

    range: tuple[float, float]
    threshold: float
    reference: float
    limit: float


class BankRecipe(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that determines the numbers in a bank."""

    images: int
    images_sha256: str
    """Over the decoded pixels, in order."""
    crops: int
    size: int
    """Side of a crop in pixels."""
    seed: int
    family: list[str]
    """Kinds of member drawn for each crop, with the number of pairs that each gives."""
    changes: list[str]
    """Other changes than the distortions."""
    distortions: dict[str, BankDistortion]
    backbone: str
    layers: list[str]
    backbone_sha256: str
    """Over the network's parameters and buffers."""
    normalize_mean: list[float]
    normalize_std: list[float]
    comparison: str
    comparison_sha256: str
    """Over the comparison's parameters and buffers, if it has any."""
    channel_norm: bool
    device: str
    """Kind of device that the network ran on; results differ in their last digits."""
    tools: dict[str, str]


class BankArray(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The expected content of one of the array files."""

    shape: list[int]
    dtype: str
    bytes: int
    sha256: str


class BankManifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The content of ``manifest.json``."""

    format: int
    source: str
    recipe: BankRecipe
    files: dict[str, BankArray]


def bank_recipe(
    distances: FeatureDistances, images: Images, *, pairs: int, size: int, seed: int
) -> BankRecipe:
    """Return the recipe for these settings; see `dps_train.bank.stored.stored_bank`."""
    return BankRecipe(
        images=len(images.images),
        images_sha256=images.sha256(),
        crops=crop_count(pairs),
        size=size,
        seed=seed,
        family=[f"{kind}: {count}" for kind, count in FAMILY],
        changes=list(TRAINED),
        distortions={
            d.name: BankDistortion(
                range=d.range, threshold=d.threshold, reference=d.reference, limit=d.limit
            )
            for d in DISTORTIONS
        },
        backbone=distances.backbone.name,
        layers=list(distances.backbone.layers),
        backbone_sha256=state_sha256(distances.backbone.network),
        normalize_mean=distances.preprocess.mean.flatten().tolist(),
        normalize_std=distances.preprocess.std.flatten().tolist(),
        comparison=distances.comparison.name,
        comparison_sha256=state_sha256(distances.comparison),
        channel_norm=distances.comparison.channel_norm,
        device=distances.device.type,
        tools=installed_versions(TOOLS),
    )


def field_differences(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """Name every field in which two manifests, as plain values, differ, with both values."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return [
            difference
            for key in {**stored, **wanted}
            for difference in field_differences(
                stored.get(key), wanted.get(key), f"{path}.{key}" if path else key
            )
        ]
    if stored == wanted:
        return []
    return [f"{path} is {_shown(stored, path)} there and {_shown(wanted, path)} here"]


def _shown(value: Any, path: str) -> str:
    if path.endswith("sha256"):
        return f"{value[:HASH_SHOWN]}..."
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
