"""One small run of a context file from a stranger, which settles what its words cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels
from dps_infer.errors import ContextError
from dps_infer.model.contract import (
    IMPORTANCE,
    TILES,
    Measurement,
    broken,
    check_identical,
    check_measurement,
)
from dps_infer.model.manifest import Manifest

if TYPE_CHECKING:
    from dps_infer.runtime.engine import Engine

SIDE = 64
"""Smallest side of the images in pixels."""

SYMMETRIC_WITHIN = 1e-2
"""Relative difference of a distance and the one of the exchanged images: far above the error of
half precision."""


def check_by_running(engine: Engine, manifest: Manifest) -> None:
    """Compare two images both ways, and one with itself.

    Raises:
        ContextError: the graph fails, or breaks its contract: a distance that is negative, not
            finite, or depends on which image comes first; identical images with a distance; or
            tiles of another size than the manifest states. It does not name the file.
    """
    count = len(manifest.metric.amounts)
    stated = manifest.metric.importances
    importances = [1.0] * count if stated is None else list(stated.values())
    one, other = _images(manifest)
    feeds: dict[str, NDArray[Any]] = {
        "reference": np.stack([one, other, other]),
        "distorted": np.stack([other, one, other]),
    }
    if manifest.universal:
        feeds[IMPORTANCE] = np.array(importances, np.float32)
    wanted = [name for name in ("distance", "amounts", TILES) if name in engine.outputs]
    values = engine.run(wanted, feeds)
    measurement = Measurement(
        values["distance"], values.get("amounts"), maps=None, tiles=values.get(TILES)
    )
    check_measurement(measurement, len(feeds["distorted"]), importances)
    there, back, same = measurement.distances.tolist()
    if not np.isclose(there, back, rtol=SYMMETRIC_WITHIN, atol=1e-6):
        raise broken(f"the distances {there:.4g} and {back:.4g} for the same two images")
    check_identical(same, importances)
    _check_tiles(values, manifest, one)


def _check_tiles(values: Mapping[str, NDArray[Any]], manifest: Manifest, image: Pixels) -> None:
    """Check that the graph has as many tiles as the manifest's tile size makes."""
    if manifest.views is None or TILES not in values:
        return
    sides = image.shape[:2]
    expected = tuple(-(-side // manifest.views.tile) for side in sides)
    found = values[TILES].shape[1:3]
    if found != expected:
        raise ContextError(
            f"its manifest contradicts its graph (tiles of {manifest.views.tile} pixels make "
            f"{expected[0]}x{expected[1]} of {sides[0]}x{sides[1]} pixels, the graph has "
            f"{found[0]}x{found[1]}): export the context again"
        )


def _images(manifest: Manifest) -> tuple[Pixels, Pixels]:
    """Draw two images; a tile more or less of a pixel changes the number of their tiles."""
    tile = 1 if manifest.views is None else manifest.views.tile
    side = -(-SIDE // tile) * tile
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:side, 0 : side + 1]
    smooth = np.stack([rows, columns, rows + columns], axis=2) * (127 / side)
    noise = generator.integers(0, 100, smooth.shape)
    return smooth.astype(np.uint8), (smooth[::-1] + noise).clip(0, 255).astype(np.uint8)
