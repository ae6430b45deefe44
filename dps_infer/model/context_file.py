"""Reading a context file without running it; it may come from anyone, so it is checked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from dps_infer.errors import ContextError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.graph.model import Model, read_model
from dps_infer.model import embedded
from dps_infer.model.integrity import check_integrity
from dps_infer.model.manifest import METADATA_KEY, Manifest, decode_manifest

MAX_BYTES = 512 * MEBIBYTE


@dataclass(frozen=True)
class ContextFile:
    """A context file that was read and checked.

    Attributes:
        path: the file.
        model: the model inside, safe to hand to onnxruntime.
        sha256: SHA-256 of the file's bytes, in hexadecimal.
        manifest: the description inside.
    """

    path: str
    model: Model = field(repr=False)
    sha256: str
    manifest: Manifest

    @property
    def is_embedded(self) -> bool:
        """Whether these are the bytes of the file inside the package, which needs no checks."""
        return self.sha256 == embedded.SHA256


def read_context_file(path: str | os.PathLike[str]) -> ContextFile:
    """Read a file once and check everything that can be checked without running it.

    Raises:
        ContextError: the file cannot be read, is no context file of a known format, or
            cannot be trusted.
    """
    label = os.fspath(path)
    data = read_bytes(path, expected="a context file (.onnx)", limit=MAX_BYTES, error=ContextError)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        model = read_model(data, trusted=sha256 == embedded.SHA256)
        if METADATA_KEY not in model.metadata:
            raise ContextError(
                "is an ONNX file without a manifest: expected what dps-export writes"
            )
        manifest = decode_manifest(model.metadata[METADATA_KEY])
        if sha256 != embedded.SHA256:
            check_integrity(data, model.metadata, manifest)
    except ContextError as error:
        raise ContextError(f"{label}: {error}") from None
    return ContextFile(label, model, sha256, manifest)
