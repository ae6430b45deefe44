"""Export a universal file as it is, but leaner: no context is frozen in, and nothing is trained."""

from __future__ import annotations

from pathlib import Path

import onnx

from dps_export.lean.choice import Lean
from dps_export.lean.leaner import reduce
from dps_export.metadata import embed_manifest
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.manifest import Manifest


def export_embedded(
    output: Path, lean: Lean, *, source: Path | None = None, force: bool = False
) -> Manifest:
    """Write the package's universal file, leaner.

    Args:
        output: the file to write.
        lean: what to reduce it to.
        source: another universal file in its place.
        force: replace an existing file.

    Returns:
        The manifest inside the new file.

    Raises:
        DpsError: see `dps_export.lean.leaner.reduce`; or the output cannot be written.
    """
    check_output(output, force=force, inputs=[source])
    file = read_context_file(embedded.UNIVERSAL if source is None else source)
    model, manifest = reduce(onnx.load_model_from_string(file.model.data), file.manifest, lean)
    data, manifest = embed_manifest(model, manifest)
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(data)
    return manifest
