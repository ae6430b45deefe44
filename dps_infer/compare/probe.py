"""One small run of a context file from a stranger, which settles what its words cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels
from dps_infer.model.contract import (
    IMPORTANCE,
    Measurement,
    broken,
    check_identical,
    check_measurement,
)
from dps_infer.model.manifest import Manifest

if TYPE_CHECKING:
    from dps_infer.runtime.engine import Engine

SIDE = 64
"""Side of the images in pixels."""

SYMMETRIC_WITHIN = 1e-2
"""Relative difference of a distance and the one of the exchanged images: far above the error of
half precision."""


def check_by_running(engine: Engine, manifest: Manifest) -> None:
    """Compare two images both ways, and one with itself.

    Raises:
        ContextError: the graph fails, or breaks its contract: a distance that is negative, not
            finite, or depends on which image comes first; or identical images with a distance. It
            does not name the file.
    """
    count = len(manifest.metric.amounts)
    stated = manifest.metric.importances
    importances = [1.0] * count if stated is None else list(stated.values())
    one, other = _images()
    feeds: dict[str, NDArray[Any]] = {
        "reference": np.stack([one, other, other]),
        "distorted": np.stack([other, one, other]),
    }
    if manifest.universal:
        feeds[IMPORTANCE] = np.array(importances, np.float32)
    named = ("distance", "amounts", "strengths", "directions", "cells")
    values = engine.run([name for name in named if name in engine.outputs], feeds)
    measurement = Measurement(
        values["distance"],
        values.get("amounts"),
        values.get("strengths"),
        values.get("directions"),
        cells=values.get("cells"),
    )
    check_measurement(measurement, len(feeds["distorted"]), importances)
    there, back, same = measurement.distances.tolist()
    if not np.isclose(there, back, rtol=SYMMETRIC_WITHIN, atol=1e-6):
        raise broken(f"the distances {there:.4g} and {back:.4g} for the same two images")
    check_identical(same, importances)


def _images() -> tuple[Pixels, Pixels]:
    """Draw two images."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:SIDE, 0 : SIDE + 1]
    smooth = np.stack([rows, columns, rows + columns], axis=2) * (127 / SIDE)
    noise = generator.integers(0, 100, smooth.shape)
    return smooth.astype(np.uint8), (smooth[::-1] + noise).clip(0, 255).astype(np.uint8)
