"""Export a trained metric to a verified context file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import onnx

from dps_export.freeze import freeze
from dps_export.lean.choice import WHOLE, Lean
from dps_export.lean.leaner import check_outputs, reduce
from dps_export.metadata import embed_manifest
from dps_export.outputs import ExportedMetric
from dps_export.packaged import packaged_graph
from dps_export.verify import ParityError, verify
from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model.manifest import (
    FORMAT_VERSION,
    Calibration,
    Draws,
    Ladder,
    Manifest,
    MetricInfo,
    Parity,
)
from dps_train.fit.run_folder import load_run
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.half_planes import CELL
from dps_train.model.embedded.embedded_metric import NAME as UNIVERSAL
from dps_train.model.metric import Metric
from dps_train.versions import installed_versions

TOOLS = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")
MAP_RELATION = "the mean of the map over the image equals the distance"

Note = Callable[[str], None]


def _ignore(_text: str) -> None:
    pass


def export_run(
    run: Path,
    output: Path,
    *,
    universal: bool = False,
    lean: Lean = WHOLE,
    force: bool = False,
    note: Note = _ignore,
) -> Manifest:
    """Export a run to a context file.

    Args:
        run: folder that dps-train wrote.
        output: the file to write. It appears only after onnxruntime has run the complete file.
        universal: leave the context out; the file is given one whenever it is used.
        lean: what to reduce the file to.
        force: replace an existing file.
        note: called with one line before each step.

    Returns:
        The manifest inside the file.

    Raises:
        UsageError: `universal`, and the run's head reports no amounts, or no held-out image shows
            all distortions.
        DpsError: the run is incomplete, the output cannot be written, or the graph computes
            something other than the metric.
    """
    check_output(output, force=force, inputs=run.glob("*"))
    note(f"reading {run}")
    metric, trained = load_run(run)
    info, calibration, draws = trained.metric, trained.calibration, None
    if universal:
        info, draws = _without_context(info), trained.draws
        if draws is None:
            why = (
                "no held-out image shows all its distortions"
                if len(info.amounts) > 1
                else f"a {info.variant} run tells no kinds of change apart"
            )
            raise UsageError(f"{run} cannot become a universal file: {why}; leave --universal out")
    return export(
        metric,
        info,
        output,
        calibration=None if universal else calibration,
        draws=draws,
        ladders=trained.ladders,
        reuse=True,
        lean=lean,
        force=force,
        note=note,
    )


def export(
    metric: Metric,
    info: MetricInfo,
    output: Path,
    *,
    calibration: Calibration | None = None,
    draws: Draws | None = None,
    ladders: Sequence[Ladder] = (),
    reuse: bool = False,
    lean: Lean = WHOLE,
    force: bool = False,
    note: Note = _ignore,
) -> Manifest:
    """Export a metric to a context file; see `export_run`.

    Args:
        metric: in evaluation mode.
        info: the metric's description; without importances, the file is universal.
        output: the file to write.
        calibration: for a plain file.
        draws: for a universal file.
        ladders: for a metric that names kinds.
        reuse: take the graph of the package's own file where it computes this metric.
        lean: what to reduce the file to.
        force: replace an existing file.
        note: called with one line before each step.
    """
    if lean.outputs is not None:
        # Before minutes of tracing.
        check_outputs(lean.outputs, ExportedMetric(metric).names)
    importances = list((info.importances or dict.fromkeys(info.amounts, 1.0)).values())
    model, parity = _verified(metric, importances, reuse=reuse, note=note)
    tools = {**info.tools, **installed_versions(TOOLS)}
    manifest = Manifest(
        format=FORMAT_VERSION,
        metric=msgspec.structs.replace(info, tools=tools),
        calibration=calibration,
        draws=draws,
        ladders=list(ladders),
        parity=parity,
        precision="float32",
        cell=CELL if isinstance(metric, ChangeMetric) else None,
        map=MAP_RELATION,
    )
    frozen = None if info.importances is None else importances
    model, manifest = reduce(model, manifest, lean, importances=frozen)
    data, manifest = embed_manifest(model, manifest)
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(data)
    return manifest


def _verified(
    metric: Metric, importances: Sequence[float], *, reuse: bool, note: Note
) -> tuple[onnx.ModelProto, Parity]:
    """Return the metric's graph, and how closely onnxruntime computes what PyTorch does."""
    model = packaged_graph(metric) if reuse else None
    if model is not None:
        note("comparing the package's graph with PyTorch on pairs of images")
        try:
            return model, verify(model.SerializeToString(), metric, importances)
        except ParityError:
            # The package's weights were trained anew, and its file not yet exported.
            pass
    note("tracing the graph with torch.onnx")
    model = freeze(metric)
    note("comparing onnxruntime with PyTorch on pairs of images")
    return model, verify(model.SerializeToString(), metric, importances)


def _without_context(info: MetricInfo) -> MetricInfo:
    return msgspec.structs.replace(
        info, name=UNIVERSAL, ranking=None, importances=None, judgements=None, scores=None
    )
