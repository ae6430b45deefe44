"""Reading a context file without running it. It may come from anyone: it is checked first."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from dps_infer.errors import ContextError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.graph.safety import inspect_model
from dps_infer.model.manifest import METADATA_KEY, Manifest, decode_manifest

MAX_BYTES = 512 * MEBIBYTE


@dataclass(frozen=True)
class ContextFile:
    """A context file as it was read.

    Attributes:
        path: the file.
        model: its bytes, safe to hand to onnxruntime.
        sha256: of the bytes, in hexadecimal.
        manifest: everything the file says about itself.
    """

    path: str
    model: bytes = field(repr=False)
    sha256: str
    manifest: Manifest


def read_context_file(path: str | os.PathLike[str]) -> ContextFile:
    """Read a file once and check all that can be checked without running it.

    Raises:
        ContextError: the file cannot be read, is no context file of a known format, or
            cannot be trusted.
    """
    label = os.fspath(path)
    model = read_bytes(path, expected="a context file (.onnx)", limit=MAX_BYTES, error=ContextError)
    try:
        metadata = inspect_model(model)
        if METADATA_KEY not in metadata:
            raise ContextError(
                "is an ONNX file without a manifest: expected what dps-export writes"
            )
        manifest = decode_manifest(metadata[METADATA_KEY])
    except ContextError as error:
        raise ContextError(f"{label}: {error}") from None
    return ContextFile(label, model, hashlib.sha256(model).hexdigest(), manifest)
