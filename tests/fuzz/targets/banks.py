"""Stored pairs: damage is found, whatever the recipe and the parts hold."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz import mutations
from tests.fuzz.structure import mutate_json

TEST_INPUTS = 100

RECIPE: dict[str, Any] = {
    **{"format": 4, "images": 1, "images_sha256": "ab", "seed": 0, "working_size": 256},
    "collections": [{"name": "own", "scenes": 1, "side": 64, "paper": False}],
    **{"network_sha256": "cd", "code_sha256": "ef", "tools": {"torch": "2"}},
}


@cache
def seeds() -> dict[str, bytes]:
    """Return the files of a bank."""
    # PyTorch takes seconds to import, which must not count as the time of the first input.
    import safetensors.torch
    import torch

    from dps_train.fit.presence import bank

    values = {"total": torch.arange(6.0), "cells": torch.arange(24).reshape(2, 3, 4).half()}
    part = safetensors.torch.save(values, metadata={bank.HASH: bank.part_sha256(values)})
    return {"recipe": json.dumps(RECIPE).encode(), "part": part}


def check(data: bytes, seed: str) -> str:
    """Open a folder with a changed recipe, or read a changed part."""
    import safetensors.torch
    import torch

    from dps_train.fit.presence.bank import read_part
    from dps_train.fit.presence.stored import open_folder

    folder = _folder()
    if seed == "recipe":
        (folder / "recipe.json").write_bytes(data)
        open_folder(folder, RECIPE, renew=False)
        assert json.loads(data) == RECIPE
        return "right"
    path = folder / "own-0.safetensors"
    path.write_bytes(data)
    part, expected = read_part(path), safetensors.torch.load(seeds()["part"])
    assert part.keys() == expected.keys()
    assert all(torch.equal(part[name], expected[name]) for name in part)
    return "right"


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change the recipe's values, or bytes of a part."""
    return mutate_json(data, draw) if seed == "recipe" else mutations.mutate(data, draw)
