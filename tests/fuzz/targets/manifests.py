"""Manifests: each is refused in one line, or written again as it was read."""

from __future__ import annotations

import random

from infer_helpers import make_manifest

from dps_infer.model.manifest import decode_manifest, encode_manifest
from tests.fuzz.structure import mutate_json

TEST_INPUTS = 1000


def seeds() -> dict[str, bytes]:
    """Return a plain manifest and a universal one."""
    return {
        "plain": encode_manifest(make_manifest()).encode(),
        "universal": encode_manifest(make_manifest(universal=True)).encode(),
    }


def check(data: bytes, seed: str) -> str:
    """Read the manifest, and write it again."""
    manifest = decode_manifest(data)
    text = encode_manifest(manifest)
    assert decode_manifest(text) == manifest
    assert manifest.metric.name.isprintable()
    assert manifest.metric.describe_context().isprintable()
    return "right"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change values."""
    return mutate_json(data, draw)
