"""Embed a manifest or a context in an ONNX model, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import onnx

from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.integrity import MANIFEST_HASH_KEY, graph_sha256, manifest_sha256
from dps_infer.model.manifest import METADATA_KEY, Manifest, decode_manifest, encode_manifest


def embed_manifest(model: onnx.ModelProto, manifest: Manifest) -> tuple[bytes, Manifest]:
    """Put a manifest into a model's metadata; equal inputs give equal bytes.

    Returns:
        The model's bytes, and the manifest with the hash of the model.

    Raises:
        ContextError: a reader would refuse the manifest.
    """
    del model.metadata_props[:]
    digest = graph_sha256(model.SerializeToString(deterministic=True))
    text = encode_manifest(msgspec.structs.replace(manifest, graph_sha256=digest))
    read = decode_manifest(text)
    for key, value in ((METADATA_KEY, text), (MANIFEST_HASH_KEY, manifest_sha256(text))):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    data: bytes = model.SerializeToString(deterministic=True)
    return data, read


def embed_importances(model: onnx.ModelProto, importances: Iterable[float]) -> None:
    """Replace the input of importances with a constant, in place."""
    for port in model.graph.input:
        if port.name == IMPORTANCE:
            model.graph.input.remove(port)
            break
    values = np.array(list(importances), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, IMPORTANCE))
