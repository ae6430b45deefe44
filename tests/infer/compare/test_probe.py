"""Files that break their contract in a small run, or that are damaged, are refused on loading."""

from __future__ import annotations

import numpy as np
import pytest
from infer_helpers import make_manifest, make_model, write
from onnx import helper, numpy_helper

from dps_export.metadata import embed_manifest
from dps_infer import Metric
from dps_infer.compare import probe
from dps_infer.errors import ContextError
from dps_infer.model.integrity import MANIFEST_HASH_KEY
from dps_infer.model.manifest import METADATA_KEY


def load(path, **options) -> Metric:
    return Metric.load(path, device="cpu", threads=1, **options)


def test_identical_images_with_a_distance_are_refused(tmp_path):
    path = write(
        tmp_path / "a.onnx", make_model(kinds=False, amounts=False, offsets={"distance": 0.5})
    )
    with pytest.raises(ContextError, match=r"a\.onnx: gave the distance 0\.5 for identical images"):
        load(path)


def test_a_distance_of_identical_images_is_refused_in_every_run(tmp_path, monkeypatch, photo):
    path = write(
        tmp_path / "a.onnx", make_model(kinds=False, amounts=False, offsets={"distance": 0.5})
    )
    monkeypatch.setattr(probe, "check_by_running", lambda *_: None)
    context = load(path)
    context.compare(photo, 255 - photo)
    with pytest.raises(ContextError, match="for identical images"):
        context.compare(photo, photo)


def test_a_distance_that_depends_on_the_order_is_refused(tmp_path):
    model = make_model(kinds=False, amounts=False)
    # Only what is brighter in the first image counts.
    for node in model.graph.node:
        if node.op_type == "Abs":
            node.op_type = "Relu"
    with pytest.raises(ContextError, match="for the same two images"):
        load(write(tmp_path / "a.onnx", model))


def test_a_flipped_byte_is_damage_and_not_another_number(tmp_path):
    model = make_model()
    data, manifest = embed_manifest(model, make_manifest())
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    assert load(path).manifest == manifest
    (weights,) = (t for t in model.graph.initializer if t.name == "importance")
    start = data.index(numpy_helper.to_array(weights).tobytes())
    digits = data.index(b'"darken":0.5') + len('"darken":0.')
    for place, expected in ((start + 1, "its graph is not"), (digits, "its manifest is not")):
        damaged = bytearray(data)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ContextError, match=f"is damaged: {expected} the one that was exported"):
            load(path)
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(data), 60).tolist():
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ContextError):
            load(path)


def test_files_without_hashes_are_accepted(tmp_path, context_path):
    assert load(context_path).manifest.graph_sha256 is None
    model = make_model()
    helper.set_model_props(
        model, {METADATA_KEY: model.metadata_props[0].value, MANIFEST_HASH_KEY: "0" * 64}
    )
    with pytest.raises(ContextError, match="its manifest is not"):
        load(write(tmp_path / "a.onnx", model))
