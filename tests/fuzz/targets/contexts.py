"""Context files: each is refused in one line, or measures as its contract says."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from infer_helpers import make_manifest, make_model

from dps_export.metadata import embed_manifest
from dps_infer import Metric
from dps_infer.model.manifest import METADATA_KEY
from tests.fuzz import mutations
from tests.fuzz.structure import ODD, mutate_json

TEST_INPUTS = 150
_OPERATORS = ("Add", "Expand", "Tile", "Loop", "Range", "MatMul", "Reshape", "Resize", "Where")
_RANKING = "color,rotate,blur"


@cache
def seeds() -> dict[str, bytes]:
    """Return files with and without hashes, plain and universal."""
    signed, _ = embed_manifest(make_model(), make_manifest())
    return {
        "plain": make_model().SerializeToString(),
        "universal": make_model(universal=True).SerializeToString(),
        "with hashes": signed,
    }


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def check(data: bytes, seed: str) -> str:
    """Load the file, and compare images with it."""
    path = _folder() / "a.onnx"
    path.write_bytes(data)
    metric = Metric.load(
        path, ranking=_RANKING if seed == "universal" else None, device="cpu", threads=1
    )
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
    there, same = metric.compare(one, other), metric.compare(one, one)
    assert np.isfinite(there.distance)
    assert there.distance >= 0
    assert same.distance <= 1e-3 * sum(metric.importances.values())
    assert metric.describe().isprintable()
    if seed == "with hashes":
        expected = _expected()
        assert there.distance == expected, f"{there.distance} instead of {expected}"
    return "right"


@cache
def _expected() -> float:
    path = _folder() / "b.onnx"
    path.write_bytes(seeds()["with hashes"])
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
    return Metric.load(path, device="cpu", threads=1).compare(one, other).distance


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change bytes, or the graph or the manifest as such; files with hashes only lose bits."""
    if seed == "with hashes" or draw.random() < 0.4:
        return mutations.mutate(data, draw)
    model = onnx.load_from_string(data)
    graph = model.graph
    change = draw.randrange(6)
    node = draw.choice(graph.node)
    if change == 0:
        node.op_type = draw.choice(_OPERATORS)
    elif change == 1 and len(node.input):
        node.input[draw.randrange(len(node.input))] = draw.choice(graph.node).output[0]
    elif change == 2:
        tensor = draw.choice(graph.initializer)
        tensor.raw_data = mutations.mutate(tensor.raw_data, draw)
    elif change == 3:
        tensor = draw.choice(graph.initializer)
        tensor.dims[:] = [draw.choice((0, 1, 3, 7, 2**20, 2**40)) for _ in range(2)]
    elif change == 4:
        name = draw.choice(graph.output).name
        draw.choice(graph.output).name = draw.choice((name, str(draw.choice(ODD))[:50]))
    else:
        for entry in model.metadata_props:
            if entry.key == METADATA_KEY:
                changed = mutate_json(entry.value.encode(), draw)
                entry.value = changed.decode(errors="replace")
    return model.SerializeToString()
