"""The contract of a context file's graph: its inputs and outputs, and the checks on them.

Inputs: ``reference`` uint8 RGB [R, H, W, 3] with R = N or 1, and ``distorted`` uint8 RGB
[N, H, W, 3], any N, H and W. A universal file takes its context as a third, ``importance``
float32 [A].

Outputs, float32: ``distance`` [N], and where the file has them ``amounts`` [N, A] and ``map``
[N, H', W']. A file that names kinds has both, and ``size`` [N], ``strengths`` and ``directions``
[N, A - 1], in the order of the amounts without the size, and ``cells`` [N, rows, columns, A - 1],
how much of the difference in each cell is of each kind. A leaner file has some of them, which its
manifest lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.arrays import Floats
from dps_infer.errors import ContextError
from dps_infer.model.manifest import Manifest
from dps_infer.runtime.engine import Port

IMAGES = ("reference", "distorted")
IMPORTANCE = "importance"
OUTPUT_RANKS = {"distance": 1, "amounts": 2, "map": 3}
KIND_RANKS = {**OUTPUT_RANKS, "size": 1, "strengths": 2, "directions": 2, "cells": 4}
"""Outputs of a file that names kinds, with their numbers of dimensions."""

NEEDED = ("distance", "amounts")
"""What a leaner file must give to be run here; the amounts only where it names kinds."""

BY_KIND = ("strengths", "directions", "cells")
"""Outputs with a column for each amount but the size."""

IDENTICAL_WITHIN = 1e-3
"""Largest distance of identical images, as a share of the sum of the importances. It is 0 but for
rounding: some devices compute one reference and its candidates by different algorithms."""

ADDS_UP_WITHIN = 1e-2
"""Relative tolerance: far above the error of half precision, far below a misleading one."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """The output of a context file for N pairs.

    Attributes:
        distances: float32 [N].
        amounts: float32 [N, A], or None if the file has none.
        strengths: float32 [N, A - 1], or None if the file names no kinds.
        directions: likewise, in [-1, 1].
        maps: float32 [N, H', W'], or None if they were not asked for.
        cells: float32 [N, rows, columns, A - 1], or None if they were not asked for, or the file
            names no kinds.
    """

    distances: Floats
    amounts: Floats | None
    strengths: Floats | None = None
    directions: Floats | None = None
    maps: Floats | None = None
    cells: Floats | None = None


def check_ports(
    inputs: Mapping[str, Port], outputs: Mapping[str, Port], manifest: Manifest
) -> None:
    """Refuse a graph whose inputs or outputs are not a context file's.

    Raises:
        ContextError: saying what is there and what was expected; it does not name the file.
    """
    columns = len(manifest.metric.amounts)
    wanted = (*IMAGES, IMPORTANCE) if manifest.universal else IMAGES
    if set(inputs) != set(wanted):
        raise _wrong(f"inputs {_listed(inputs)}", " and ".join(wanted))
    for name in IMAGES:
        if not _takes_images(inputs[name]):
            raise _wrong(f"input {inputs[name]}", "uint8 [N, H, W, 3] with any N, H and W")
    if manifest.universal and not _takes_importances(inputs[IMPORTANCE], columns):
        raise _wrong(f"input {inputs[IMPORTANCE]}", f"float [{columns}], one for each amount")
    _check_outputs(outputs, manifest)


def check_needed(manifest: Manifest) -> None:
    """Refuse a leaner file without what every comparison here needs.

    Raises:
        ContextError: it does not name the file.
    """
    # Distances in other contexts follow from the amounts.
    needed = NEEDED if len(manifest.metric.amounts) > 1 else NEEDED[:1]
    stated = manifest.outputs
    if stated is not None and not set(needed) <= set(stated):
        raise ContextError(
            f"gives {', '.join(stated)} alone, and dps-infer needs {' and '.join(needed)}: it is "
            "for other runtimes; export it with these --outputs, too"
        )


def check_measurement(measurement: Measurement, count: int, importances: Sequence[float]) -> None:
    """Refuse results for `count` pairs that cannot be true.

    Raises:
        ContextError: a wrong shape, a distance or amount that is no finite number >= 0, or
            amounts that do not add up to the distance; it does not name the file.
    """
    distances, amounts, maps = measurement.distances, measurement.amounts, measurement.maps
    if distances.shape != (count,):
        raise broken(f"distances of shape {list(distances.shape)} for {count} pairs")
    check_distances(distances)
    if maps is not None and (maps.ndim != 3 or len(maps) != count):
        raise broken(f"a map of shape {list(maps.shape)} for {count} pairs")
    kinds = len(importances) - 1
    for name, values in (("strengths", measurement.strengths), ("cells", measurement.cells)):
        if values is None:
            continue
        if values.ndim != KIND_RANKS[name] or (len(values), values.shape[-1]) != (count, kinds):
            raise broken(f"{name} of shape {list(values.shape)} for {count} pairs")
        if not _all_finite_and_positive(values):
            raise broken(f"{name} that are no finite numbers >= 0")
    directions = measurement.directions
    if directions is not None:
        if directions.shape != (count, kinds):
            raise broken(f"directions of shape {list(directions.shape)} for {count} pairs")
        if not (np.abs(directions) <= 1).all():
            raise broken("a direction that is not within -1 to 1")
    if amounts is None:
        return
    if amounts.shape != (count, len(importances)):
        raise broken(f"amounts of shape {list(amounts.shape)} for {count} pairs")
    if not _all_finite_and_positive(amounts):
        raise broken("an amount that is no finite number >= 0")
    sums = amounts.astype(np.float64) @ np.asarray(importances)
    if not np.allclose(sums, distances, rtol=ADDS_UP_WITHIN, atol=1e-5):
        raise broken("amounts that do not add up to the distance")


def check_distances(distances: Floats) -> None:
    """Refuse distances that are no finite numbers >= 0.

    Raises:
        ContextError: it does not name the file.
    """
    if not _all_finite_and_positive(distances):
        raise broken("a distance that is no finite number >= 0")


def check_identical(distance: float, importances: Sequence[float]) -> None:
    """Refuse a distance of identical images.

    Raises:
        ContextError: it does not name the file.
    """
    # Written so that a NaN fails.
    if not distance <= IDENTICAL_WITHIN * sum(importances):
        raise broken(f"the distance {distance:.4g} for identical images")


def _check_outputs(outputs: Mapping[str, Port], manifest: Manifest) -> None:
    names_kinds = len(manifest.metric.amounts) > 1
    ranks = KIND_RANKS if names_kinds else OUTPUT_RANKS
    stated = manifest.outputs
    needed = set(stated or (ranks if names_kinds else ("distance",)))
    if not needed <= set(outputs) <= set(stated or ranks):
        wanted = _listed(ranks) if names_kinds else "distance, and maybe amounts and map"
        raise _wrong(f"outputs {_listed(outputs)}", _listed(stated) if stated else wanted)
    columns = len(manifest.metric.amounts)
    expected = {"amounts": columns, **dict.fromkeys(BY_KIND, columns - 1)}
    for name, port in outputs.items():
        if port.type != "float" or len(port.shape) != ranks[name]:
            raise _wrong(f"output {port}", f"float with {ranks[name]} dimensions")
        if name in expected and port.shape[-1] not in (expected[name], None):
            raise _wrong(
                f"{port.shape[-1]} columns in its output {name}",
                f"{expected[name]} by its manifest ({', '.join(manifest.metric.amounts)})",
            )


def _takes_images(port: Port) -> bool:
    if port.type != "uint8" or len(port.shape) != 4:
        return False
    *free, channels = port.shape
    # A size that tracing baked in would fail on the first image of another size.
    return not any(isinstance(size, int) for size in free) and channels in (3, None)


def _takes_importances(port: Port, columns: int) -> bool:
    return port.type == "float" and port.shape in ((columns,), (None,))


def _all_finite_and_positive(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _wrong(got: str, expected: str) -> ContextError:
    return ContextError(f"has the {got}, expected {expected}: export the context again")


def broken(got: str) -> ContextError:
    """Return the error of results that no context file may give."""
    return ContextError(f"gave {got}, which no context file may: export the context again")
