"""What the graph in a context file takes and gives, and the checks that it does.

Inputs: ``reference`` uint8 RGB [R, H, W, 3] with R = N or 1, and ``distorted`` uint8 RGB
[N, H, W, 3], any N, H and W. Outputs, float32: ``distance`` [N], and where the file has
them ``amounts`` [N, K+1] and ``map`` [N, H', W'].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import ContextError
from dps_infer.manifest import Manifest
from dps_infer.providers import Port

INPUTS = ("reference", "distorted")
OUTPUT_RANKS = {"distance": 1, "amounts": 2, "map": 3}

ADDS_UP_WITHIN = 1e-2
"""Relative. Far above what half precision costs, far below what would mislead."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a context file says of N pairs.

    Attributes:
        distances: float32 [N].
        amounts: float32 [N, K+1], or None if the file has none.
        maps: float32 [N, H', W'], or None if they were not asked for.
    """

    distances: NDArray[np.float32]
    amounts: NDArray[np.float32] | None
    maps: NDArray[np.float32] | None


def check_ports(
    inputs: Mapping[str, Port], outputs: Mapping[str, Port], manifest: Manifest
) -> None:
    """Refuse a graph whose inputs or outputs are not a context file's.

    Raises:
        ContextError: saying what is there and what was expected; it does not name the file.
    """
    if set(inputs) != set(INPUTS):
        raise _wrong(f"inputs {_listed(inputs)}", " and ".join(INPUTS))
    for port in inputs.values():
        if not _takes_images(port):
            raise _wrong(f"input {port}", "uint8 [N, H, W, 3] with any N, H and W")
    if "distance" not in outputs or not set(outputs) <= set(OUTPUT_RANKS):
        raise _wrong(f"outputs {_listed(outputs)}", "distance, and maybe amounts and map")
    for name, port in outputs.items():
        if port.type != "float" or len(port.shape) != OUTPUT_RANKS[name]:
            raise _wrong(f"output {port}", f"float with {OUTPUT_RANKS[name]} dimensions")
    columns = outputs["amounts"].shape[1] if "amounts" in outputs else None
    if isinstance(columns, int) and columns != len(manifest.parts):
        raise _wrong(
            f"{columns} amounts",
            f"{len(manifest.parts)} by its manifest ({', '.join(manifest.parts)})",
        )


def check_measurement(measurement: Measurement, count: int, importances: list[float]) -> None:
    """Refuse results for `count` pairs that cannot be true.

    Raises:
        ContextError: a wrong shape, a distance or amount that is no finite number >= 0, or
            amounts that do not add up to the distance; it does not name the file.
    """
    distances, amounts, maps = measurement.distances, measurement.amounts, measurement.maps
    if distances.shape != (count,):
        raise _broken(f"distances of shape {list(distances.shape)} for {count} pairs")
    if not _all_finite_and_positive(distances):
        raise _broken("a distance that is no finite number >= 0")
    if maps is not None and (maps.ndim != 3 or len(maps) != count):
        raise _broken(f"a map of shape {list(maps.shape)} for {count} pairs")
    if amounts is None:
        return
    if amounts.shape != (count, len(importances)):
        raise _broken(f"amounts of shape {list(amounts.shape)} for {count} pairs")
    if not _all_finite_and_positive(amounts):
        raise _broken("an amount that is no finite number >= 0")
    sums = amounts.astype(np.float64) @ np.asarray(importances)
    if not np.allclose(sums, distances, rtol=ADDS_UP_WITHIN, atol=1e-5):
        raise _broken("amounts that do not add up to the distance")


def _takes_images(port: Port) -> bool:
    if port.type != "uint8" or len(port.shape) != 4:
        return False
    *free, channels = port.shape
    # A size that was baked in by tracing would fail on the first other image.
    return not any(isinstance(size, int) for size in free) and channels in (3, None)


def _all_finite_and_positive(values: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all())


def _listed(ports: Mapping[str, Port]) -> str:
    return ", ".join(ports) or "none"


def _wrong(got: str, expected: str) -> ContextError:
    return ContextError(f"has the {got}, expected {expected}: export the context again")


def _broken(got: str) -> ContextError:
    return ContextError(f"gave {got}, which no context file may: export the context again")
