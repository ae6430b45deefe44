"""Stored banks: damage is found, whatever the arrays and the manifest hold."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.fuzz import mutations
from tests.fuzz.structure import mutate_json

TEST_INPUTS = 100
_SHAPES = {"z": (2, 3, 4), "amounts": (2, 3, 6), "other": (2, 3)}


def _npy(name: str) -> bytes:
    stream = io.BytesIO()
    values = np.arange(np.prod(_SHAPES[name]), dtype="<f4").reshape(_SHAPES[name])
    np.save(stream, values)
    return stream.getvalue()


@cache
def _manifest() -> dict[str, Any]:
    from dps_train.bank.manifest import FORMAT_VERSION

    recipe = {
        **{"images": 1, "images_sha256": "ab", "crops": 2, "size": 64, "seed": 0, "family": []},
        **{"changes": [], "distortions": {}, "backbone": "embedded", "layers": ["a"]},
        **{"backbone_sha256": "cd", "normalize_mean": [0.0], "normalize_std": [1.0]},
        **{"comparison": "spatial", "comparison_sha256": "", "channel_norm": True},
        **{"device": "cpu", "tools": {"torch": "2"}},
    }
    files = {
        f"{name}.npy": {
            "shape": list(shape),
            "dtype": "<f4",
            "bytes": len(_npy(name)),
            "sha256": hashlib.sha256(_npy(name)).hexdigest(),
        }
        for name, shape in _SHAPES.items()
    }
    return {"format": FORMAT_VERSION, "source": "sample", "recipe": recipe, "files": files}


@cache
def seeds() -> dict[str, bytes]:
    """Return the files of a bank."""
    # PyTorch takes seconds to import, which must not count as the time of the first input.
    import dps_train.bank.stored  # noqa: F401

    return {"manifest": json.dumps(_manifest()).encode(), **{name: _npy(name) for name in _SHAPES}}


def check(data: bytes, seed: str) -> str:
    """Open the bank with one file changed; an array's hash is made to fit, as an attacker would."""
    from dps_train.bank import stored
    from dps_train.bank.manifest import BankManifest

    folder = _folder()
    manifest = json.loads(json.dumps(_manifest()))
    for name in _SHAPES:
        (folder / f"{name}.npy").write_bytes(data if name == seed else _npy(name))
    if seed != "manifest":
        manifest["files"][f"{seed}.npy"]["sha256"] = hashlib.sha256(data).hexdigest()
        manifest["files"][f"{seed}.npy"]["bytes"] = len(data)
    text = data if seed == "manifest" else json.dumps(manifest).encode()
    (folder / stored.MANIFEST).write_bytes(text)
    recipe = msgspec.convert(_manifest(), BankManifest).recipe
    try:
        found, bank = stored._opened(folder, recipe)
    except stored._Unusable as fault:
        return _refused(str(fault))
    for name, shape in _SHAPES.items():
        assert tuple(getattr(bank, name).shape) == shape
        # Every value can be read.
        getattr(bank, name).sum()
    assert found.files
    return "right"


def _refused(fault: str) -> str:
    assert "\n" not in fault
    return "refused"


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change the manifest's values, or bytes of an array."""
    return mutate_json(data, draw) if seed == "manifest" else mutations.mutate(data, draw)
