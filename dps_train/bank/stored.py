"""The distance bank on disk: computed once, read by every training that needs the same.

A bank is a folder of four files, written under another name and renamed when complete:

* ``z.npy``: channel distances, float32 [C, F, D] (C crops, F changes of each, D channels);
* ``amounts.npy``: of each distortion, float32 [C, F, K];
* ``other.npy``: share of other changes (0, 1, or 3 for another image), float32 [C, F];
* ``manifest.json``: a `dps_train.bank.manifest.BankManifest`: the format's version, the *recipe*
  (everything that determines the numbers) and shape, dtype, size and SHA-256 of the other files.

The arrays are plain NumPy files in C order, little-endian, without pickles. They are written
batch by batch and read memory-mapped, so that a bank may be larger than memory.

A reader MUST refuse a newer format, a file whose size or hash is not the stated one, and a recipe
other than the one it needs. It MUST NOT need `BankManifest.source` to match, which only records
where the images came from: their hash is in the recipe.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.lib.format import open_memmap

from dps_infer.arrays import Floats
from dps_infer.errors import DpsError, OutputError
from dps_infer.files.write import atomic_folder, sha256_file
from dps_train.bank.bank import PURPOSE, Bank, FeatureDistances, bank_parts
from dps_train.bank.manifest import (
    FORMAT_VERSION,
    BankArray,
    BankManifest,
    BankRecipe,
    bank_recipe,
    field_differences,
)
from dps_train.data.sources import Images
from dps_train.seeds import generator_for

MANIFEST = "manifest.json"
ARRAYS = ("z", "amounts", "other")
DTYPE = "<f4"
"""NumPy's name of little-endian float32."""


class BankError(DpsError):
    """A stored bank that is damaged, incomplete, or made from something else."""


class _Unusable(Exception):
    """A fault of a stored bank: the end of a sentence that begins with the bank's path."""


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
    """Return the bank in a folder, or build it there.

    Args:
        folder: of the bank.
        distances: runs the backbone and compares.
        images: to crop.
        pairs: the smallest number of pairs.
        size: side of a crop in pixels.
        seed: of everything random.
        force: replace a bank that is damaged or has another recipe.
        note: receives one line about the result.

    Returns:
        The bank, memory-mapped: tensors are read as they are used, and writing to them changes no
        file.

    Raises:
        BankError: the folder is not a bank, or without `force` one that must be replaced.
        OutputError: it cannot be written.
    """
    recipe = bank_recipe(distances, images, pairs=pairs, size=size, seed=seed)
    if folder.exists():
        try:
            manifest, bank = _opened(folder, recipe)
        except _Unusable as fault:
            if _holds_other_things(folder):
                raise BankError(f"{folder} {fault}, and has other content: name another") from None
            if not force:
                raise BankError(
                    f"{folder} {fault}: name another folder, or pass --force to rebuild it"
                ) from None
            note(f"{folder} {fault}: rebuilt")
        else:
            note(f"distance bank {folder} reused: {_extent(manifest)}")
            return bank
    with atomic_folder(folder, force=force) as temporary:
        manifest = _build(temporary, recipe, distances, images)
    note(f"distance bank written to {folder}: {_extent(manifest)}")
    return _mapped(folder, manifest)


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
    arrays: dict[str, Floats] = {}
    start = 0
    for part in parts:
        if not arrays:
            # The number of channels is known from the first comparison.
            arrays = _create(folder, part, recipe.crops)
        stop = start + len(part.z)
        for name in ARRAYS:
            arrays[name][start:stop] = getattr(part, name).numpy()
        start = stop
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    # Close the files, so that they are complete when they are hashed.
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


def _create(folder: Path, part: Bank, crops: int) -> dict[str, Floats]:
    """Create the files for so many crops; other dimensions are those of the first batch."""
    shapes = {name: (crops, *getattr(part, name).shape[1:]) for name in ARRAYS}
    needed = sum(4 * int(np.prod(shape)) for shape in shapes.values())
    free = shutil.disk_usage(folder).free
    # Writing to a memory map on a full disk would kill the process.
    if needed >= free:
        raise OutputError(
            f"cannot write {folder.parent}: the distance bank needs {_size(needed)}, and "
            f"{_size(free)} are free; free some space or use fewer --pairs"
        )
    return {
        name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.dtype(DTYPE), shape=shape)
        for name, shape in shapes.items()
    }


def _opened(folder: Path, recipe: BankRecipe) -> tuple[BankManifest, Bank]:
    """Verify and open a bank of this recipe, or raise _Unusable."""
    manifest = _read_manifest(folder)
    different = field_differences(*map(msgspec.to_builtins, (manifest.recipe, recipe)))
    if different:
        raise _Unusable(f"holds another distance bank ({'; '.join(different)})")
    for name in ARRAYS:
        path = folder / f"{name}.npy"
        stated = manifest.files.get(path.name)
        if stated is None or not path.is_file():
            raise _Unusable(f"is not a complete distance bank ({path.name} is missing)")
        size = path.stat().st_size
        if size != stated.bytes:
            raise _Unusable(
                f"is not a complete distance bank ({path.name} has {size} bytes instead of "
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
            # Copy on write, because PyTorch has no read-only tensors.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        # NumPy parses the header as Python, and raises whatever that raises.
        except Exception as error:
            why = " ".join(str(error).split())
            raise _Unusable(f"is damaged ({path.name} cannot be read: {why})") from None
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
        raise _Unusable(f"is not a complete distance bank ({MANIFEST} is missing)")
    try:
        raw = json.loads(path.read_bytes())
        version = raw.get("format") if isinstance(raw, dict) else None
        if type(version) is int and version != FORMAT_VERSION:
            raise _Unusable(f"has bank format {version}, this version reads {FORMAT_VERSION}")
        return msgspec.convert(raw, BankManifest)
    except (ValueError, RecursionError, OSError) as error:
        raise _Unusable(f"is damaged ({MANIFEST} is not valid: {error})") from None


def _holds_other_things(folder: Path) -> bool:
    """Return whether replacing the folder would delete files that are not part of a bank."""
    files = {MANIFEST, *(f"{name}.npy" for name in ARRAYS)}
    return not folder.is_dir() or any(path.name not in files for path in folder.iterdir())


def _extent(manifest: BankManifest) -> str:
    crops, family, _ = manifest.files["z.npy"].shape
    return f"{crops * family} pairs, {_size(sum(f.bytes for f in manifest.files.values()))}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
