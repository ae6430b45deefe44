"""Embed a manifest or a context in an ONNX model, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import METADATA_KEY, Manifest, encode_manifest


def embed_manifest(model: onnx.ModelProto, manifest: Manifest) -> bytes:
    """Return the model's bytes with the manifest in its metadata; equal inputs give equal bytes."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, encode_manifest(manifest)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def embed_importances(model: onnx.ModelProto, importances: Iterable[float]) -> None:
    """Replace the input of importances with a constant, in place."""
    for port in model.graph.input:
        if port.name == IMPORTANCE:
            model.graph.input.remove(port)
            break
    values = np.array(list(importances), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, IMPORTANCE))
