"""One export from start to end: a run folder in, a verified context file out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dps_export.freeze import embed_manifest, freeze
from dps_export.verify import verify
from dps_infer.files import atomic_file, check_output
from dps_infer.manifest import FORMAT_VERSION, Manifest
from dps_train.runs import load_run
from dps_train.versions import installed_versions

TOOLS = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")
MAP_RELATION = "the mean over the map equals the distance"


def export_run(run: Path, output: Path, *, force: bool = False) -> Manifest:
    """Freeze a trained metric into a context file.

    Args:
        run: folder that dps-train wrote.
        output: the file to write; it appears whole, after onnxruntime has run it, or not
            at all.
        force: replace an existing file.

    Returns:
        The manifest inside the file.

    Raises:
        DpsError: the run is not complete, the output cannot be written, or the graph does
            not compute what the metric does.
    """
    check_output(output, force=force)
    metric, trained = load_run(run)
    model = freeze(metric)
    parity = verify(model.SerializeToString(), metric)
    info = msgspec.structs.replace(
        trained.metric, tools={**trained.metric.tools, **installed_versions(TOOLS)}
    )
    manifest = Manifest(
        format=FORMAT_VERSION,
        metric=info,
        calibration=trained.calibration,
        parity=parity,
        precision="float32",
        map=MAP_RELATION,
    )
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(embed_manifest(model, manifest))
    return manifest
