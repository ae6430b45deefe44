"""Check in onnxruntime that an exported model computes the same as its metric in PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dps_export.freeze import INPUTS
from dps_export.outputs import ExportedMetric
from dps_infer.arrays import Floats, Pixels
from dps_infer.errors import DpsError
from dps_infer.graph.model import read_model
from dps_infer.model.contract import IMPORTANCE
from dps_infer.model.manifest import Parity
from dps_infer.runtime.device import Device
from dps_infer.runtime.engine import Engine, open_engine
from dps_train.data.sources import HELD_OUT_PHOTOGRAPHS, photograph
from dps_train.model.metric import Metric

TOLERANCE = 1e-5
"""Largest difference between PyTorch and onnxruntime in an amount or a distance, relative to the
largest value if that is above 1; for distances also relative to the sum of the importances.

Both compute in float32 and sum in different orders. The rounding errors, about 1e-7 of a feature,
are enlarged by the logarithm of small channel distances."""

PRESENCE_TOLERANCE = 1e-4
"""The same for a head that tells which kinds of change are there. A kind goes from absent to fully
there within a small range of its probability: in between, rounding errors are enlarged by up to
the inverse of that range."""

ROUNDED = 2.0
"""Where a metric enlarges rounding errors more than that, onnxruntime may be so many times as far
from PyTorch, at most, as PyTorch's float32 is from its float64 on the same images."""

MAP_TOLERANCE = 1e-4
"""Largest difference in the map, relative to its largest value. A map is looked at, and a cell
averages the errors of fewer positions. A map that follows what is in the cells has their errors."""

READ_TOLERANCES = {"map": MAP_TOLERANCE, "cells": 5e-3, "strengths": 5e-3, "directions": 5e-3}
"""Largest differences, relative to the largest value, of outputs that people read. Cells are small,
and strengths are exponentials: both enlarge rounding errors."""

SMALLEST_READ = {"strengths": 0.1, "directions": 0.1}
"""Largest value from which on these differences are relative, `SMALLEST_OTHER` where it is not
listed. Strengths are in degrees, pixels and percent, of which nobody reads thousandths; the
direction of a motion is as unclear as the motion is small."""

SMALLEST_OTHER = 1e-3

BATCHES = (1, 2, 7)
SIZES = ((64, 64), (96, 160), (17, 31), (241, 180))
"""Heights and widths: the working size, larger, smaller, and odd."""

DARKER = 0.8

SMALLEST_MIRRORED = 64
"""Side in pixels from which on images are compared with their mirror images, too. There is no
motion between these: in thumbnails, rounding errors decide what the estimate of it ends at."""


Feeds = dict[str, NDArray[Any]]


class ParityError(DpsError):
    """The exported graph and the metric compute different values."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}: no file was written; please report it with your versions of onnx, "
            "onnxscript and onnxruntime"
        )


def verify(model: bytes, metric: Metric, importances: Sequence[float]) -> Parity:
    """Run a universal model and the metric on photographs, in several batches and shapes.

    Args:
        model: the model, from `dps_export.freeze`.
        metric: the metric that it was made from.
        importances: the context to compare them in.

    Returns:
        The largest difference over all views.

    Raises:
        ParityError: they differ by more than the tolerances above, the distance of identical
            images is not 0, or images that are compared in bands give other values than whole ones.
    """
    engine = open_engine(read_model(model), device=Device.cpu)
    exported = ExportedMetric(metric)
    context = np.array(importances, np.float32)
    differences: list[float] = []
    compared: list[Feeds] = []
    for height, width in SIZES:
        for count in BATCHES:
            distorted = _photographs(count, height, width)
            # One reference of several thumbnails is another picture: without a motion, as below.
            fewest = 1 if min(height, width) >= SMALLEST_MIRRORED else count
            for reference in _references(distorted):
                for one in sorted({fewest, count}):
                    images = {"reference": reference[:one], "distorted": distorted}
                    feeds: Feeds = {**images, IMPORTANCE: context}
                    outputs = engine.run(exported.names, feeds)
                    differences.append(_difference(outputs, exported, feeds))
                    compared.append(feeds)
        _check_identity(engine, _photographs(2, height, width), context)
    _check_bands(engine, exported.names, context)
    allowed = PRESENCE_TOLERANCE if "strengths" in exported.names else TOLERANCE
    # A NaN is the worst, and not allowed.
    worst = float(np.max(differences))
    if not worst <= allowed:
        # Two roundings of one pair differ by chance: compare the largest of all pairs.
        rounding = max(_rounding(exported, feeds) for feeds in compared)
        allowed = max(allowed, ROUNDED * rounding)
    if not worst <= allowed:
        raise ParityError(
            f"onnxruntime and PyTorch differ by {worst:.2g}, expected at most {allowed:g}"
        )
    pairs = sum(len(feeds["distorted"]) for feeds in compared)
    return Parity(max_abs_error=worst, pairs=pairs)


def _difference(
    outputs: Mapping[str, NDArray[Any]], exported: ExportedMetric, feeds: Feeds
) -> float:
    """Return the largest difference of other outputs from PyTorch's, but for those people read.

    Raises:
        ParityError: one of those differs too much.
    """
    expected = _in_pytorch(exported, feeds)
    # Importances multiply the amounts and their errors alike, so large ones must not fail.
    gain = max(1.0, float(feeds[IMPORTANCE].sum()))
    tolerances = dict(READ_TOLERANCES)
    if "cells" in exported.names:
        tolerances["map"] = tolerances["cells"]
    differences = []
    for name, value in expected.items():
        difference = float(np.abs(outputs[name] - value).max())
        largest = float(value.max())
        if name not in tolerances:
            scale = gain if name == "distance" else 1.0
            differences.append(difference / max(scale, largest))
            continue
        allowed = tolerances[name] * max(largest, SMALLEST_READ.get(name, SMALLEST_OTHER))
        if not difference <= allowed:
            rounding = float(np.abs(_exactly(exported, feeds)[name] - value).max())
            allowed = max(allowed, ROUNDED * rounding)
        if not difference <= allowed:
            raise ParityError(
                f"{name} of onnxruntime and PyTorch differ by {difference:.2g}, with values up "
                f"to {largest:.2g}: expected at most {allowed:.2g}"
            )
    return float(np.max(differences))


def _in_pytorch(exported: ExportedMetric, feeds: Feeds) -> dict[str, NDArray[Any]]:
    with torch.no_grad():
        found = exported(*(torch.from_numpy(feeds[name]) for name in INPUTS))
    return {name: value.numpy() for name, value in zip(exported.names, found, strict=True)}


def _rounding(exported: ExportedMetric, feeds: Feeds) -> float:
    """Return the difference between PyTorch in float32 and in float64."""
    return _difference(_exactly(exported, feeds), exported, feeds)


def _exactly(exported: ExportedMetric, feeds: Feeds) -> dict[str, NDArray[Any]]:
    """Return the outputs that PyTorch computes in float64."""
    exact = copy.deepcopy(exported).double()
    return _in_pytorch(exact, {name: value.astype(np.float64) for name, value in feeds.items()})


def _references(distorted: Pixels) -> list[Pixels]:
    """Return darker images and, of larger ones, mirror images: [N, H, W, 3] each."""
    darker = np.rint(DARKER * distorted).astype(np.uint8)
    if min(distorted.shape[1:3]) < SMALLEST_MIRRORED:
        return [darker]
    return [darker, np.ascontiguousarray(distorted[:, :, ::-1])]


def _check_identity(engine: Engine, images: Pixels, context: Floats) -> None:
    feeds: Feeds = {"reference": images, "distorted": images, IMPORTANCE: context}
    distance = engine.run(["distance"], feeds)["distance"]
    if np.any(distance != 0):
        raise ParityError(
            f"identical images have distance {float(distance.max()):.2g} in onnxruntime, not 0"
        )


def _check_bands(engine: Engine, names: Sequence[str], context: Floats) -> None:
    """Compare images in bands of one row of cells; a model that cannot be cut runs whole."""
    distorted = _photographs(1, *SIZES[-1])
    for reference in _references(distorted):
        feeds: Feeds = {"reference": reference, "distorted": distorted, IMPORTANCE: context}
        whole, banded = engine.run(names, feeds), engine.run(names, feeds, band_pixels=1)
        for name in names:
            difference = float(np.abs(banded[name] - whole[name]).max())
            largest = max(1.0, float(whole[name].max()))
            if not difference <= READ_TOLERANCES.get(name, TOLERANCE) * largest:
                raise ParityError(
                    f"{name} of images in bands and of whole ones differ by {difference:.2g}"
                )


def _photographs(count: int, height: int, width: int) -> Pixels:
    """Return `count` different windows of the sample photographs: uint8 [N, H, W, 3]."""
    images = [photograph(name) for name in HELD_OUT_PHOTOGRAPHS]
    windows = []
    for index in range(count):
        image = images[index % len(images)]
        top = (37 * index) % (image.shape[0] - height + 1)
        left = (53 * index) % (image.shape[1] - width + 1)
        windows.append(image[top : top + height, left : left + width])
    return np.stack(windows)
