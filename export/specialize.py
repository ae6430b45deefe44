"""Freeze a context into a universal context file, which gives a plain one.

The importances become a constant of the graph; calibration and scores are computed from the draws
in the manifest. Nothing is traced or trained again, and PyTorch is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import onnx

from dps_export.lean.choice import WHOLE, Lean
from dps_export.lean.leaner import reduce
from dps_export.metadata import embed_manifest
from dps_infer.arrays import Floats, Pixels
from dps_infer.compare.runner import importance_vector
from dps_infer.contexts.context import Context, choose_context
from dps_infer.errors import ContextError, DpsError, UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.graph.model import Model, read_model
from dps_infer.model import embedded
from dps_infer.model.calibration import calibrate, scores
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import IMPORTANCE, check_ports
from dps_infer.model.manifest import Draws, Manifest
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine

TOLERANCE = 1e-6
"""Largest difference between the two files in an output, as a share of its largest value.

Both compute the same in float32, but onnxruntime may fold the constant in another order."""

SHAPES = ((2, 96, 80), (1, 40, 150))
"""Batch size, height and width of the pairs that both files are compared on."""


class SpecializeError(DpsError):
    """The frozen file and the universal one compute different values."""


def specialize(
    output: Path,
    *,
    ranking: str | None = None,
    importances: str | None = None,
    context: Context | None = None,
    source: Path | None = None,
    lean: Lean = WHOLE,
    force: bool = False,
) -> Manifest:
    """Freeze a context into a universal file.

    Args:
        output: the file to write. It appears only after onnxruntime has run the complete file.
            Equal arguments give equal bytes.
        ranking: as text; see `dps_infer.contexts.ranking.parse_ranking`.
        importances: as text, instead of a ranking; see `parse_importances` in the same module.
        context: instead of both.
        source: the universal file; None takes the one inside `dps_infer`.
        lean: what to reduce the new file to.
        force: replace an existing file.

    Returns:
        The manifest inside the new file.

    Raises:
        DpsError: `source` is not a universal file, the context is not valid, the output cannot
            be written, or the new file computes other values than the universal one.
    """
    check_output(output, force=force, inputs=[source])
    file = read_context_file(embedded.UNIVERSAL if source is None else source)
    metric = file.manifest.metric
    if metric.context is not None:
        raise UsageError(
            f"{file.path} has its context frozen in ({metric.describe_context()}): take a "
            "universal file"
        )
    chosen = choose_context(
        metric.distortion_names, ranking=ranking, importances=importances, context=context
    )
    universal = _open(file.model, file.manifest, file.path)
    manifest = _manifest(file.manifest, chosen)
    model = onnx.load_model_from_string(file.model.data)
    importance = importance_vector(file.manifest.metric.amounts, chosen.importances)
    model, manifest = reduce(model, manifest, lean, importances=importance.tolist())
    data, manifest = embed_manifest(model, manifest)
    frozen = _open(read_model(data), manifest, str(output))
    if lean == WHOLE:
        _verify(frozen, universal, importance)
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(data)
    return manifest


def _manifest(universal: Manifest, context: Context) -> Manifest:
    # A valid manifest of a universal file has draws.
    draws = cast(Draws, universal.draws)
    columns = universal.metric.amounts
    found = scores(draws, columns, context)
    metric = universal.metric.in_context(context, name=context.label, scores=found)
    calibration = calibrate(draws, columns, context.importances)
    return msgspec.structs.replace(universal, metric=metric, calibration=calibration, draws=None)


def _open(model: Model, manifest: Manifest, label: str) -> Engine:
    try:
        engine = open_engine(model, device=Device.cpu)
        check_ports(engine.inputs, engine.outputs, manifest)
    except ContextError as error:
        raise ContextError(f"{label}: {error}") from error
    return engine


def _verify(frozen: Engine, universal: Engine, importance: Floats) -> None:
    """Check that a frozen file computes the same as the universal one in its context."""
    names = list(universal.outputs)
    for feeds in _pairs():
        expected = universal.run(names, {**feeds, IMPORTANCE: importance})
        got = frozen.run(names, feeds)
        for name in names:
            difference = float(np.max(np.abs(got[name] - expected[name])))
            # Written so that a NaN fails.
            if not difference <= TOLERANCE * float(np.max(np.abs(expected[name]))):
                raise SpecializeError(
                    f"{name} of the frozen file and of the universal one differ by "
                    f"{difference:.2g}: no file was written; please report it with your versions "
                    "of onnx and onnxruntime"
                )


def _pairs() -> list[dict[str, Pixels]]:
    """Draw pairs of images: two of nearly equal images, two of unrelated ones."""
    generator = np.random.default_rng(0)
    pairs = []
    for shape in SHAPES:
        reference = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
        near = reference ^ generator.integers(0, 8, reference.shape, dtype=np.uint8)
        far = generator.integers(0, 256, reference.shape, dtype=np.uint8)
        pairs += [{"reference": reference, "distorted": distorted} for distorted in (near, far)]
    return pairs
