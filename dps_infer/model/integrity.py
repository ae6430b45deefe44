"""The hashes in a context file: damage is refused, and never another number.

The manifest states the hash of the model without its metadata, and an entry of the metadata that of
the manifest. They detect damage, not tampering: whoever can change a file can change them as well.
"""

from __future__ import annotations

import hashlib

from dps_infer.errors import ContextError
from dps_infer.graph.model import METADATA
from dps_infer.graph.protobuf import read_fields
from dps_infer.model.manifest import METADATA_KEY, Manifest

MANIFEST_HASH_KEY = "dps.manifest.sha256"
"""Where a context file keeps the SHA-256 of its manifest, in hexadecimal."""


def graph_sha256(model: bytes) -> str:
    """Return the SHA-256 of a serialized model without its metadata, in hexadecimal."""
    digest = hashlib.sha256()
    for number, _, begin, start, stop in read_fields(model, 0, len(model)):
        if number != METADATA:
            # Of a number, which ends where its field does, the value stands in place of the end.
            digest.update(model[begin:stop] if stop else b"%d %d;" % (number, start))
    return digest.hexdigest()


def manifest_sha256(text: str) -> str:
    """Return the SHA-256 of a manifest as JSON text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_integrity(model: bytes, metadata: dict[str, str], manifest: Manifest) -> None:
    """Refuse a file whose graph or manifest was changed after it was written.

    Files without both hashes, which older versions wrote, are accepted.

    Raises:
        ContextError: it does not name the file.
    """
    stated = metadata.get(MANIFEST_HASH_KEY)
    if stated is None and manifest.graph_sha256 is None:
        return
    if stated != manifest_sha256(metadata[METADATA_KEY]):
        raise _damaged("manifest")
    if manifest.graph_sha256 != graph_sha256(model):
        raise _damaged("graph")


def _damaged(part: str) -> ContextError:
    return ContextError(
        f"is damaged: its {part} is not the one that was exported (its hash differs): get the "
        "whole file again"
    )
