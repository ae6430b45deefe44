"""Run the graph of a context file on arrays; it knows no context."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Floats, Pixels
from dps_infer.errors import ContextError, UsageError
from dps_infer.model import embedded
from dps_infer.model.context_file import ContextFile, read_context_file
from dps_infer.model.contract import (
    IMPORTANCE,
    Measurement,
    check_distances,
    check_identical,
    check_measurement,
    check_needed,
    check_ports,
)
from dps_infer.runtime.device import CUDA, Device
from dps_infer.runtime.engine import open_engine

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceFeatures

LARGE_PIXELS = 1 << 17
"""Pixels from which on a run computes only what is asked for."""

BANDED_PIXELS = 1 << 22
"""Pixels from which on images are compared in bands (`dps_infer.runtime.bands`)."""

BAND_PIXELS = 1 << 20
"""Pixels of a band."""


class GraphRunner:
    """A context file, opened in onnxruntime.

    Attributes:
        file: the file.
        manifest: the description inside.
        provider: the onnxruntime execution provider in use.
        threads: CPU threads in use.
        remark: why the CPU is used although CUDA is offered, or None.
    """

    def __init__(
        self, file: ContextFile, *, device: Device | str = Device.auto, threads: int | None = None
    ) -> None:
        """Open a file.

        Args:
            file: the file.
            device: ``auto`` (CUDA if onnxruntime really gets it, else the CPU), ``cpu``, or
                ``cuda`` (never the CPU instead).
            threads: CPU threads; None takes all that this process may use.

        Raises:
            ContextError: onnxruntime cannot load the file, or it breaks its contract.
            DeviceError: onnxruntime is missing, or CUDA is asked for and not there.
            UsageError: an unknown device, or `threads` below 1.
        """
        try:
            chosen = Device(device)
        except ValueError:
            raise UsageError(f"unknown device {device!r}: expected auto, cpu or cuda") from None
        self.file = file
        self.manifest = file.manifest
        # The current folder may be another one when the file is opened again.
        self._origin = (os.path.abspath(file.path), file.sha256, chosen, threads)
        with self._named_in_errors():
            check_needed(file.manifest)
            self._engine = open_engine(
                file.model, device=chosen, threads=threads, limit_memory=not file.is_embedded
            )
            # Looking at the ports opens the whole model, which takes time.
            if not file.is_embedded:
                from dps_infer.compare.probe import check_by_running

                check_ports(self._engine.inputs, self._engine.outputs, file.manifest)
                check_by_running(self._engine, file.manifest)
        self.provider = self._engine.provider
        self.threads = self._engine.threads
        self.remark = self._engine.remark

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the place and the hash of the file: whoever unpickles them opens it again."""
        return _reopen, self._origin

    @property
    def on_cuda(self) -> bool:
        """Whether CUDA computes."""
        return self.provider == CUDA

    def has_output(self, name: str) -> bool:
        """Return whether the graph has an output."""
        stated = self.manifest.outputs
        if stated is not None:
            return name in stated
        # A file that names kinds has all of them; looking would open the whole model.
        return self.names_kinds or name in self._engine.outputs

    @property
    def names_kinds(self) -> bool:
        """Whether the file tells kinds of change apart."""
        return len(self.manifest.metric.amounts) > 1

    def measure(
        self,
        reference: Pixels,
        distorted: Pixels,
        importances: Mapping[str, float],
        *,
        with_map: bool = False,
        alone: bool = False,
        cached: ReferenceFeatures | None = None,
    ) -> Measurement:
        """Run the graph.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N or 1.
            distorted: uint8 RGB [N, H, W, 3].
            importances: numbers by amount, 0 where one is missing. A plain file has its own
                frozen in, which these must be.
            with_map: compute the maps as well, and the cells of a file that names kinds.
            alone: see `dps_infer.runtime.engine.Engine.run`.
            cached: features of the single reference; missing ones are added.

        Raises:
            ContextError: onnxruntime fails, the file breaks its contract, or it has no map.
        """
        fetches = ["distance", *(["amounts"] if self.has_output("amounts") else [])]
        if self.names_kinds:
            fetches += [name for name in ("strengths", "directions") if self.has_output(name)]
        if with_map:
            if not self.has_output("map"):
                given = ", ".join(self.manifest.outputs or ())
                why = f"was exported with --outputs {given}" if given else "has none"
                raise ContextError(
                    f"{self.file.path}: cannot give a map, as it {why}: export it with a map"
                )
            fetches += [
                "map",
                *(["cells"] if self.names_kinds and self.has_output("cells") else []),
            ]
        weights = importance_vector(self.manifest.metric.amounts, importances)
        feeds: dict[str, NDArray[Any]] = {"reference": reference, "distorted": distorted}
        if self.manifest.universal:
            feeds[IMPORTANCE] = weights
        _, height, width, _ = distorted.shape
        pixels = height * width
        with self._named_in_errors():
            values = self._engine.run(
                fetches,
                feeds,
                alone=alone or pixels > LARGE_PIXELS,
                cached=cached,
                band_pixels=BAND_PIXELS if pixels > BANDED_PIXELS else None,
            )
            measurement = Measurement(
                distances=values["distance"],
                amounts=values.get("amounts"),
                strengths=values.get("strengths"),
                directions=values.get("directions"),
                maps=values.get("map"),
                cells=values.get("cells"),
            )
            check_measurement(measurement, len(distorted), weights.tolist())
        return self.weigh(measurement, importances)

    def check_identical(self, distance: float, importances: Mapping[str, float]) -> None:
        """Refuse a distance of identical images; see `dps_infer.model.contract`.

        Raises:
            ContextError: it names the file.
        """
        with self._named_in_errors():
            check_identical(distance, list(importances.values()))

    def weigh(self, measurement: Measurement, importances: Mapping[str, float]) -> Measurement:
        """Return a universal file's measurement with the distances of another context.

        They are computed from the amounts, which do not depend on the context. Maps, and
        measurements of a plain file, stay as they are.

        Raises:
            ContextError: the amounts are so large that a distance is not finite.
        """
        if not self.manifest.universal or measurement.amounts is None:
            return measurement
        weights = importance_vector(self.manifest.metric.amounts, importances)
        found = distances(measurement.amounts, weights)
        with self._named_in_errors():
            check_distances(found)
        return replace(measurement, distances=found)

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        """Put the file's name before the message of a ContextError that the block raises."""
        try:
            yield
        except ContextError as error:
            raise ContextError(f"{self.file.path}: {error}") from error


def importance_vector(amounts: Sequence[str], importances: Mapping[str, float]) -> Floats:
    """Return importances as a graph takes them: float32 [A], in the order of the amounts."""
    return np.array([importances.get(name, 0.0) for name in amounts], np.float32)


def _reopen(path: str, sha256: str, device: Device, threads: int | None) -> GraphRunner:
    """Open the file of a pickled runner.

    Raises:
        ContextError: it is missing, or is another file now.
        DpsError: see `GraphRunner`.
    """
    # Another machine or environment has the package in another place.
    file = read_context_file(embedded.UNIVERSAL if sha256 == embedded.SHA256 else path)
    if file.sha256 != sha256:
        raise ContextError(
            f"{path}: is another file than the metric was loaded from: load the metric again"
        )
    return GraphRunner(file, device=device, threads=threads)


def distances(amounts: Floats, importances: Floats) -> Floats:
    """Return distances [N] of amounts [N, A]: the sum of importance times amount.

    Computed in double precision and row by row, unlike a matrix product: the distance of a pair
    does not depend on the pairs beside it.

    >>> distances(np.array([[0.5, 2.0]], np.float32), np.array([1.0, 0.25])).tolist()
    [1.0]
    """
    parts = amounts.astype(np.float64) * importances
    # Overflow gives infinity, which `check_distances` refuses.
    with np.errstate(over="ignore"):
        found: Floats = parts.sum(axis=1).astype(np.float32)
    return found
