"""Make a file leaner: fewer outputs, which takes less memory, and smaller numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from dps_export.lean.bands import in_bands
from dps_export.lean.choice import Lean, Precision
from dps_export.lean.precision import in_precision
from dps_export.metadata import embed_importances
from dps_infer.arrays import Pixels
from dps_infer.errors import DpsError, UsageError
from dps_infer.graph.model import read_model
from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import Manifest, Reduced
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import open_engine

SAME_WITHIN = {Precision.fp32: 1e-4, Precision.fp16: 1e-3, Precision.int8: 2e-2}
"""Largest difference that comparing in bands may make, as a share of an output's largest value. A
band rounds otherwise, by 1e-6 of a distance; smaller numbers enlarge that to one of their steps."""

SHAPES = ((2, 40, 150), (1, 470, 70), (3, 129, 64))
"""Batch size, height and width of the pairs that whole images and bands are compared on: of fewer
rows of cells than there are bands, and of more."""


class LeanError(DpsError):
    """The leaner file computes other values than the whole one."""


def check_outputs(asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuse outputs that a file does not have.

    Raises:
        UsageError: it names the first of them, and those that there are.
    """
    for name in asked:
        if name not in known:
            raise UsageError(f"--outputs names {name!r}: expected some of {','.join(known)}")


def reduce(
    model: onnx.ModelProto,
    manifest: Manifest,
    lean: Lean,
    *,
    importances: Sequence[float] | None = None,
) -> tuple[onnx.ModelProto, Manifest]:
    """Return a leaner model, and a manifest that says so.

    Args:
        model: a universal model; it may be changed.
        manifest: of the file to write.
        lean: what to reduce it to.
        importances: of the context to freeze in; None leaves it out.

    Raises:
        UsageError: the model has no such output, or no network to compute in smaller numbers.
        AgreementError: smaller numbers change scores or orders.
        LeanError: in bands, the outputs are others than those of whole images.
    """
    names = [port.name for port in model.graph.output]
    if lean.outputs is not None:
        check_outputs(lean.outputs, names)
        names = [name for name in names if name in lean.outputs]
    reduced: Reduced | None = None
    if lean.precision is not Precision.fp32:
        # Only this needs PyTorch, which draws the pairs.
        from dps_export.lean.agreement import (
            calibration_pairs,
            check_agreement,
            measure_agreement,
        )

        pairs = calibration_pairs(len(manifest.metric.amounts))
        narrow = in_precision(model, lean.precision, pairs)
        reduced = measure_agreement(model, narrow, manifest.metric)
        check_agreement(reduced, lean.precision.value)
        model = narrow
    if importances is not None:
        embed_importances(model, importances)
    if lean.outputs is not None:
        model = _with_outputs(model, names, len(manifest.metric.amounts), lean.precision)
    stated = msgspec.structs.replace(
        manifest,
        precision=lean.precision.stated,
        outputs=None if lean.outputs is None else names,
        reduced=reduced,
    )
    return model, stated


def _with_outputs(
    model: onnx.ModelProto, names: Sequence[str], columns: int, precision: Precision
) -> onnx.ModelProto:
    whole = read_model(model.SerializeToString())
    banded = in_bands(model, names)
    if banded is None:
        pruned: onnx.ModelProto = onnx.load_model_from_string(whole.pruned(names).data)
        return pruned
    onnx.checker.check_model(banded, full_check=True)
    first = open_engine(whole, device=Device.cpu)
    second = open_engine(read_model(banded.SerializeToString()), device=Device.cpu)
    feeds: dict[str, NDArray[Any]] = {}
    if IMPORTANCE in first.inputs:
        feeds[IMPORTANCE] = np.ones(columns, np.float32)
    for reference, distorted in _pairs():
        given = {"reference": reference, "distorted": distorted, **feeds}
        expected, got = first.run(names, given), second.run(names, given)
        for name in names:
            difference = float(np.max(np.abs(got[name] - expected[name])))
            largest = max(1.0, float(np.max(np.abs(expected[name]))))
            # Written so that a NaN fails.
            if not difference <= SAME_WITHIN[precision] * largest:
                raise LeanError(
                    f"{name} of images in bands and of whole ones differ by {difference:.2g}: no "
                    "file was written; please report it with your versions of onnx and onnxruntime"
                )
    return banded


def _pairs() -> list[tuple[Pixels, Pixels]]:
    """Draw pairs: of shifted images, and of images that were turned by half."""
    generator = np.random.default_rng(0)
    pairs = []
    for count, height, width in SHAPES:
        coarse = generator.integers(0, 200, (count, height // 8 + 1, width // 8 + 1, 3), np.uint8)
        image = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
        image = image + generator.integers(0, 50, image.shape, np.uint8)
        pairs += [(image, np.roll(image, 3, axis=2)), (image[:1], np.flip(image, (1, 2)).copy())]
    return pairs
