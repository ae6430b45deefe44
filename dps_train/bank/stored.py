"""The distance bank on disk: computed once, read by every training that asks for the same.

A bank is a folder of four files, written under another name and renamed when complete:

* ``z.npy``: channel distances, float32 [C, F, D] (C crops, F changes of each, D channels);
* ``amounts.npy``: of each distortion, float32 [C, F, K];
* ``other.npy``: share of other kinds of change (0, 1, or 3 for another image), float32 [C, F];
* ``manifest.json``: a `BankManifest`, JSON: the format's version, the *recipe* (all that the
  numbers follow from) and shape, dtype, size and SHA-256 of the three others.

The arrays are plain NumPy files in C order, little-endian, without pickles. They are
written batch by batch and read memory-mapped, so that a bank may be larger than memory.

A reader MUST refuse a newer format, a file whose size or hash is not the stated one, and
a recipe other than the one it needs. It MUST NOT need `BankManifest.source` to match,
which says for the record where the images came from: their hash is in the recipe.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from dps_infer.errors import DpsError, OutputError
from dps_infer.files.write import atomic_folder, sha256_file
from dps_train.bank.bank import PURPOSE, Bank, FeatureDistances, bank_parts, crop_count
from dps_train.data.sources import Images
from dps_train.distortions.paper import DISTORTIONS
from dps_train.distortions.random_changes import FAMILY
from dps_train.distortions.unnamed import TRAINED
from dps_train.model.backbones import state_sha256
from dps_train.seeds import generator_for
from dps_train.versions import installed_versions

FORMAT_VERSION = 2

MANIFEST = "manifest.json"
ARRAYS = ("z", "amounts", "other")
DTYPE = "<f4"
"""As NumPy names it: little-endian float32."""

TOOLS = ("dps-toolkit", "torch", "torchvision", "numpy")

HASH_SHOWN = 12


class BankError(DpsError):
    """A stored bank that is damaged, incomplete, or made from something else."""


class _Unusable(Exception):
    """What is wrong with a stored bank, as the end of a sentence that begins with its name."""


class BankDistortion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What strengths and amounts of a distortion mean."""

    range: tuple[float, float]
    threshold: float
    reference: float
    limit: float


class BankRecipe(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All that the numbers of a bank follow from."""

    images: int
    images_sha256: str
    """Over the decoded pixels, in order."""
    crops: int
    size: int
    """Side of a crop in pixels."""
    seed: int
    family: list[str]
    """Kinds of change drawn of each crop, with the number of pairs that each gives."""
    changes: list[str]
    """Other kinds of change than the distortions."""
    distortions: dict[str, BankDistortion]
    backbone: str
    layers: list[str]
    backbone_sha256: str
    """Over the network's parameters and buffers."""
    normalize_mean: list[float]
    normalize_std: list[float]
    comparison: str
    comparison_sha256: str
    """Over the comparison's parameters and buffers, where it has any."""
    channel_norm: bool
    device: str
    """Kind of device that the network ran on; results differ in their last digits."""
    tools: dict[str, str]


class BankArray(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What one of the files must be."""

    shape: list[int]
    dtype: str
    bytes: int
    sha256: str


class BankManifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything a stored bank says about itself."""

    format: int
    source: str
    recipe: BankRecipe
    files: dict[str, BankArray]


def stored_bank(
    folder: Path,
    distances: FeatureDistances,
    images: Images,
    *,
    pairs: int,
    size: int,
    seed: int,
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Bank:
    """Return the bank that a folder holds, or build it there.

    Args:
        folder: of the bank.
        distances: runs the backbone and compares.
        images: to crop.
        pairs: how many the bank holds, at least.
        size: side of a crop in pixels.
        seed: of everything random.
        force: build anew what does not match or is damaged.
        note: is told in one line what was done.

    Returns:
        The bank, memory-mapped: its tensors are read from the files as they are used, and
        writing to them changes no file.

    Raises:
        BankError: the folder holds something else (without `force`), or is no bank.
        OutputError: it cannot be written.
    """
    recipe = bank_recipe(distances, images, pairs=pairs, size=size, seed=seed)
    if folder.exists():
        try:
            manifest, bank = _opened(folder, recipe)
        except _Unusable as fault:
            if _holds_other_things(folder):
                raise BankError(f"{folder} {fault}, and holds other things: name another") from None
            if not force:
                raise BankError(
                    f"{folder} {fault}: name another folder, or pass --force to build it anew"
                ) from None
            note(f"{folder} {fault}: built anew")
        else:
            note(f"distance bank {folder} reused: {_extent(manifest)}")
            return bank
    with atomic_folder(folder, force=force) as temporary:
        manifest = _build(temporary, recipe, distances, images)
    note(f"distance bank written to {folder}: {_extent(manifest)}")
    return _mapped(folder, manifest)


def bank_recipe(
    distances: FeatureDistances, images: Images, *, pairs: int, size: int, seed: int
) -> BankRecipe:
    """Return all that a bank of these settings follows from; see `stored_bank`."""
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


def _build(
    folder: Path, recipe: BankRecipe, distances: FeatureDistances, images: Images
) -> BankManifest:
    """Write a bank into an empty folder."""
    parts = bank_parts(
        distances,
        images.images,
        crops=recipe.crops,
        size=recipe.size,
        generator=generator_for(PURPOSE, recipe.seed),
    )
    arrays: dict[str, NDArray[np.float32]] = {}
    start = 0
    for part in parts:
        if not arrays:
            # Only the first comparison tells how many channels there are.
            arrays = _create(folder, part, recipe.crops)
        stop = start + len(part.z)
        for name in ARRAYS:
            arrays[name][start:stop] = _array(getattr(part, name))
        start = stop
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    # Closed, so that all is in the files before they are hashed.
    arrays.clear()
    manifest = BankManifest(
        format=FORMAT_VERSION,
        source=images.source,
        recipe=recipe,
        files={
            f"{name}.npy": BankArray(
                shape=shapes[name],
                dtype=DTYPE,
                bytes=(folder / f"{name}.npy").stat().st_size,
                sha256=sha256_file(folder / f"{name}.npy"),
            )
            for name in ARRAYS
        },
    )
    (folder / MANIFEST).write_bytes(
        msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    )
    return manifest


def _create(folder: Path, part: Bank, crops: int) -> dict[str, NDArray[np.float32]]:
    """Create the files for as many crops, each like those of the first batch."""
    shapes = {name: (crops, *getattr(part, name).shape[1:]) for name in ARRAYS}
    needed = sum(4 * int(np.prod(shape)) for shape in shapes.values())
    free = shutil.disk_usage(folder).free
    # A map that finds no room when it is written to would kill the process.
    if needed >= free:
        raise OutputError(
            f"cannot write {folder.parent}: the distance bank takes {_size(needed)}, and "
            f"{_size(free)} are free; make room or ask for fewer --pairs"
        )
    return {
        name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.dtype(DTYPE), shape=shape)
        for name, shape in shapes.items()
    }


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.numpy(), dtype=np.float32)


def _opened(folder: Path, recipe: BankRecipe) -> tuple[BankManifest, Bank]:
    """Verify and open a bank that is complete and made by `recipe`, or raise _Unusable."""
    manifest = _read_manifest(folder)
    different = differences(msgspec.to_builtins(manifest.recipe), msgspec.to_builtins(recipe))
    if different:
        raise _Unusable(f"holds another distance bank ({'; '.join(different)})")
    for name in ARRAYS:
        path = folder / f"{name}.npy"
        stated = manifest.files.get(path.name)
        if stated is None or not path.is_file():
            raise _Unusable(f"is no complete distance bank ({path.name} is missing)")
        size = path.stat().st_size
        if size != stated.bytes:
            raise _Unusable(
                f"is no complete distance bank ({path.name} has {size} bytes instead of "
                f"{stated.bytes})"
            )
        if sha256_file(path) != stated.sha256:
            raise _Unusable(f"is damaged (the hash of {path.name} is not the stated one)")
    return manifest, _mapped(folder, manifest)


def _mapped(folder: Path, manifest: BankManifest) -> Bank:
    """Open the files memory-mapped."""
    tensors = {}
    for name in ARRAYS:
        path = folder / f"{name}.npy"
        stated = manifest.files[path.name]
        try:
            # Copy on write, because PyTorch knows no tensors that cannot be written to.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _Unusable(f"is damaged ({path.name} cannot be read: {error})") from None
        if list(array.shape) != stated.shape or array.dtype != np.dtype(DTYPE):
            raise _Unusable(
                f"is damaged ({path.name} holds {array.dtype} {list(array.shape)} instead of "
                f"{DTYPE} {stated.shape})"
            )
        tensors[name] = torch.from_numpy(array)
    return Bank(**tensors)


def _read_manifest(folder: Path) -> BankManifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise _Unusable(f"is no complete distance bank ({MANIFEST} is missing)")
    try:
        raw = json.loads(path.read_bytes())
        version = raw.get("format") if isinstance(raw, dict) else None
        if type(version) is int and version != FORMAT_VERSION:
            raise _Unusable(f"has bank format {version}, this version reads {FORMAT_VERSION}")
        return msgspec.convert(raw, BankManifest)
    except (ValueError, RecursionError, OSError) as error:
        raise _Unusable(f"is damaged ({MANIFEST} is not valid: {error})") from None


def differences(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """Name every field that differs, with both values."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return [
            difference
            for key in {**stored, **wanted}
            for difference in differences(
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


def _holds_other_things(folder: Path) -> bool:
    """Say whether replacing the folder would delete what no bank has."""
    files = {MANIFEST, *(f"{name}.npy" for name in ARRAYS)}
    return not folder.is_dir() or any(path.name not in files for path in folder.iterdir())


def _extent(manifest: BankManifest) -> str:
    crops, family, _ = manifest.files["z.npy"].shape
    return f"{crops * family} pairs, {_size(sum(f.bytes for f in manifest.files.values()))}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
