"""Run the graph of a context file on arrays; it knows views and bands, but no context."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Floats, Pixels
from dps_infer.errors import ContextError, UsageError
from dps_infer.model import embedded
from dps_infer.model.context_file import ContextFile, read_context_file
from dps_infer.model.contract import (
    IMPORTANCE,
    TILES,
    Measurement,
    check_distances,
    check_identical,
    check_measurement,
    check_ports,
    output_name,
)
from dps_infer.model.view import View
from dps_infer.runtime.device import CUDA, Device
from dps_infer.runtime.engine import open_engine

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceFeatures

BAND_PIXELS = 1 << 17
"""Pixels of the distorted image that go through the graph at a time, in views with tiles."""


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
        """Return whether the graph has an output; a graph with views has all of them."""
        return self.manifest.views is not None or name in self._engine.outputs

    def choose_view(self, view: View | str | None) -> View | None:
        """Return the view that is meant; None for a file without views.

        Raises:
            UsageError: an unknown view.
            ContextError: the file has no views and is asked for one.
        """
        try:
            asked = None if view is None else View(view)
        except ValueError:
            known = ", ".join(known.value for known in View)
            raise UsageError(f"unknown view {view!r}: expected one of {known}") from None
        if self.manifest.views is not None:
            return View(self.manifest.views.default) if asked is None else asked
        if asked is not None:
            raise ContextError(
                f"{self.file.path}: looks at images in one way only, so there is no view "
                f"{asked.value!r}: ask for none, or take a file with views"
            )
        return None

    def measure(
        self,
        reference: Pixels,
        distorted: Pixels,
        importances: Mapping[str, float],
        *,
        view: View | None,
        with_map: bool = False,
        alone: bool = False,
        cached: ReferenceFeatures | None = None,
    ) -> Measurement:
        """Run the graph.

        Args:
            reference: uint8 RGB [R, H, W, 3], R = N or 1.
            distorted: uint8 RGB [N, H, W, 3].
            importances: one number per amount, in their order. A plain file has its own frozen
                in, which these must be.
            view: from `choose_view`.
            with_map: compute the maps as well, and the tiles of a view that has them.
            alone: see `dps_infer.runtime.engine.Engine.run`.
            cached: features of the single reference; missing ones are added.

        Raises:
            ContextError: onnxruntime fails, the file breaks its contract, or it has no map.
        """
        names = {kind: output_name(kind, view) for kind in ("distance", "amounts", "map")}
        fetches = [names["distance"]]
        if self.has_output(names["amounts"]):
            fetches.append(names["amounts"])
        if with_map:
            if not self.has_output(names["map"]):
                raise ContextError(f"{self.file.path}: has no map: export the context again")
            fetches.append(names["map"])
            if view in (View.tiles, View.both):
                fetches.append(TILES)
        weights = np.array(list(importances.values()), np.float32)
        feeds: dict[str, NDArray[Any]] = {"reference": reference, "distorted": distorted}
        if self.manifest.universal:
            feeds[IMPORTANCE] = weights
        with self._named_in_errors():
            values = self._run(fetches, feeds, view, weights, alone=alone, cached=cached)
            measurement = Measurement(
                distances=values[names["distance"]],
                amounts=values.get(names["amounts"]),
                maps=values.get(names["map"]),
                tiles=values.get(TILES),
            )
            check_measurement(measurement, len(distorted), list(importances.values()))
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
        found = distances(measurement.amounts, importances)
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

    def _run(
        self,
        fetches: list[str],
        feeds: dict[str, NDArray[Any]],
        view: View | None,
        importances: Floats,
        *,
        alone: bool,
        cached: ReferenceFeatures | None,
    ) -> dict[str, NDArray[Any]]:
        """Run the graph on whole images, or in bands if tiles would take too much memory."""
        _, height, width, _ = feeds["distorted"].shape
        views = self.manifest.views
        is_large = views is not None and height * width > BAND_PIXELS
        if views is not None and view in (View.tiles, View.both) and is_large:
            from dps_infer.compare import bands

            if bands.known(views):
                metric = self.manifest.metric
                return bands.run_in_bands(
                    partial(self._engine.run, alone=True),
                    feeds,
                    cached,
                    tile=views.tile,
                    motions=bands.motions(metric.amounts, metric.distortions),
                    view=view,
                    importances=importances,
                    with_map=TILES in fetches,
                    band_pixels=BAND_PIXELS,
                )
        return self._engine.run(fetches, feeds, alone=alone or is_large, cached=cached)


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


def distances(amounts: Floats, importances: Mapping[str, float]) -> Floats:
    """Return distances [N] of amounts [N, K+1]: the sum of importance times amount.

    Computed in double precision and row by row, unlike a matrix product: the distance of a pair
    does not depend on the pairs beside it.

    >>> distances(np.array([[0.5, 2.0]], np.float32), {"blur": 1.0, "other": 0.25}).tolist()
    [1.0]
    """
    parts = amounts.astype(np.float64) * np.array(list(importances.values()))
    # Overflow gives infinity, which `check_distances` refuses.
    with np.errstate(over="ignore"):
        found: Floats = parts.sum(axis=1).astype(np.float32)
    return found
