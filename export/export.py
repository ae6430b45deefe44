"""One export from start to end: a metric in, a verified context file out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dps_export.freeze import freeze
from dps_export.metadata import embed_importances, embed_manifest
from dps_export.verify import verify
from dps_export.views import views_info
from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model.manifest import FORMAT_VERSION, Calibration, Draws, Manifest, MetricInfo
from dps_train.fit.run_folder import load_run
from dps_train.model.embedded.embedded_metric import NAME as UNIVERSAL
from dps_train.model.metric import Metric
from dps_train.versions import installed_versions

TOOLS = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")
MAP_RELATION = "the mean over the map equals the distance"


def export_run(
    run: Path, output: Path, *, universal: bool = False, force: bool = False
) -> Manifest:
    """Freeze a trained metric into a context file.

    Args:
        run: folder that dps-train wrote.
        output: the file to write; it appears whole, after onnxruntime has run it, or not
            at all.
        universal: leave its context out: the file is given one whenever it is used.
        force: replace an existing file.

    Returns:
        The manifest inside the file.

    Raises:
        UsageError: `universal`, and the run tells no kinds of change apart, or has no image that
            shows all of them.
        DpsError: the run is not complete, the output cannot be written, or the graph does
            not compute what the metric does.
    """
    check_output(output, force=force)
    metric, trained = load_run(run)
    if universal:
        if trained.draws is None:
            why = (
                "no held-out image shows all its distortions"
                if len(trained.metric.amounts) > 1
                else f"a {trained.metric.variant} run tells no kinds of change apart"
            )
            raise UsageError(f"{run} cannot become a universal file: {why}; leave --universal out")
        info = msgspec.structs.replace(
            trained.metric,
            name=UNIVERSAL,
            ranking=None,
            importances=None,
            judgements=None,
            scores=None,
        )
        return export(metric, info, output, draws=trained.draws, force=force)
    return export(metric, trained.metric, output, calibration=trained.calibration, force=force)


def export(
    metric: Metric,
    info: MetricInfo,
    output: Path,
    *,
    calibration: Calibration | None = None,
    draws: Draws | None = None,
    force: bool = False,
) -> Manifest:
    """Freeze a metric into a context file; see `export_run`.

    Args:
        metric: in evaluation mode.
        info: says what it is; without importances, the file is universal.
        output: the file to write.
        calibration: of a plain file.
        draws: of a universal file.
        force: replace an existing file.
    """
    model = freeze(metric)
    importances = [1.0] * len(info.amounts)
    if info.importances is not None:
        importances = list(info.importances.values())
    parity = verify(model.SerializeToString(), metric, importances)
    if info.importances is not None:
        embed_importances(model, importances)
    tools = {**info.tools, **installed_versions(TOOLS)}
    manifest = Manifest(
        format=FORMAT_VERSION,
        metric=msgspec.structs.replace(info, tools=tools),
        calibration=calibration,
        draws=draws,
        views=views_info(metric),
        parity=parity,
        precision="float32",
        map=MAP_RELATION,
    )
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(embed_manifest(model, manifest))
    return manifest
