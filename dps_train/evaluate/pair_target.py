"""Measure image pairs at their own size, in several contexts, whatever the metric is.

`embedded` and context files run in onnxruntime, as `dps_infer` runs them; a run folder runs in
PyTorch. A metric that gives amounts is run once for all contexts: a context only weighs them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dps_infer.arrays import Pixels
from dps_infer.compare.metric import Metric as LoadedFile
from dps_infer.compare.pairs import new_cache
from dps_infer.contexts.ranking import SIZE
from dps_infer.errors import ContextError
from dps_infer.images.decode import DecodePolicy, Picture, load_picture, make_pair
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.model.manifest import MetricInfo
from dps_infer.runtime.device import Device
from dps_train.devices import pick_device
from dps_train.evaluate.target import EMBEDDED, names_file
from dps_train.fit.run_folder import load_run
from dps_train.fit.runs import newest_run
from dps_train.judgements.image_distance import PIXELS_AT_ONCE
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.metric import Metric

Doubles: TypeAlias = NDArray[np.float64]

CANDIDATES_AT_ONCE = 64
"""Candidates handed to onnxruntime at a time; they share the features of their reference."""

RGB = DecodePolicy(channel_order="rgb")
"""All arrays here are, however odd their colors are."""


@dataclass(frozen=True, eq=False)
class PairMeasures:
    """The measures of N pairs in one context.

    Attributes:
        distances: [N], >= 0, higher means more different.
        amounts: [N, K+1], >= 0, in the order of `PairTarget.part_names`; None where the metric
            gives none.
        parts: [N, K+1], what each kind contributes; each row adds up to the distance. None where
            `amounts` is.
        sizes: [N], the general distance; None where the metric gives none.
        strengths: [N, K+1], in the unit of each kind; None where the metric gives none.
        directions: [N, K+1], in [-1, 1]; None where the metric gives none.
    """

    distances: Doubles
    amounts: Doubles | None = None
    parts: Doubles | None = None
    sizes: Doubles | None = None
    strengths: Doubles | None = None
    directions: Doubles | None = None


class _Seen(NamedTuple):
    """One run of a metric: `PairMeasures` in its own context, without parts."""

    distances: Doubles
    amounts: Doubles | None = None
    sizes: Doubles | None = None
    strengths: Doubles | None = None
    directions: Doubles | None = None


class MeasuresPairs(Protocol):
    """Whatever measures pairs in several contexts, as `PairTarget.measure` does."""

    def measure(
        self,
        reference: Pixels,
        candidates: Sequence[Pixels],
        contexts: Sequence[Mapping[str, float] | None],
    ) -> list[PairMeasures]:
        """See `PairTarget.measure`."""
        ...


class PairTarget(ABC):
    """A metric that measures pairs of images, both of the same size.

    Attributes:
        name: for people.
        kinds: the distortions that a ranking may name; none where the metric tells none apart.
        part_names: the columns of the amounts, ``other`` last; none where there are no amounts.
        own: the importances of the context that it is adapted to; None for a universal metric.
        tied: why it can be measured in its own context only; None where any context is fine.
        has_size: whether it gives a general distance.
    """

    name: str
    kinds: tuple[str, ...]
    part_names: tuple[str, ...]
    own: Mapping[str, float] | None
    tied: str | None
    has_size: bool

    def measure(
        self,
        reference: Pixels,
        candidates: Sequence[Pixels],
        contexts: Sequence[Mapping[str, float] | None],
    ) -> list[PairMeasures]:
        """Compare one reference with candidates of its size.

        The features of the reference are computed once for all candidates, and kept for the next
        call with the same array, which must not change meanwhile.

        Args:
            reference: uint8 RGB [H, W, 3].
            candidates: uint8 RGB [H, W, 3] each, at least one.
            contexts: importances by name, of `part_names` and `SIZE`, 0 where one is missing; None
                stands for `own`.

        Returns:
            The measures of all candidates, one entry a context.
        """
        seen = self._see(reference, candidates)
        return [self._weigh(seen, context) for context in contexts]

    @abstractmethod
    def _see(self, reference: Pixels, candidates: Sequence[Pixels]) -> _Seen:
        """Run the metric."""

    def _weigh(self, seen: _Seen, importances: Mapping[str, float] | None) -> PairMeasures:
        given = self.own if importances is None else importances
        if given is None:
            raise ValueError(f"{self.name} has no context of its own: expected importances")
        if seen.amounts is None:
            return PairMeasures(seen.distances)
        parts = seen.amounts * np.array([given.get(name, 0.0) for name in self.part_names])
        if seen.sizes is not None and given.get(SIZE):
            total = seen.amounts.sum(axis=1)
            shares = seen.amounts / np.where(total > 0, total, 1)[:, None]
            parts = parts + shares * (given[SIZE] * seen.sizes)[:, None]
        # In its own context a metric's distances are taken as it rounds them.
        weighed = seen.distances
        if importances is not None:
            weighed = parts.sum(axis=1).astype(np.float32).astype(np.float64)
        return PairMeasures(
            weighed, seen.amounts, parts, seen.sizes, seen.strengths, seen.directions
        )


class FileTarget(PairTarget):
    """A context file, run by onnxruntime.

    Args:
        metric: the file; a universal one may be in any context.
        name: for people.

    Raises:
        ContextError: it is universal and gives no amounts.
    """

    def __init__(self, metric: LoadedFile, name: str) -> None:
        universal = metric.manifest.universal
        if universal and not metric.part_names:
            raise ContextError(f"{name}: is universal, and gives no amounts")
        self.name = name
        self.kinds = metric.manifest.metric.distortion_names
        self.part_names = metric.part_names
        self.own = None if universal else metric.importances
        self.has_size = SIZE in metric.manifest.metric.amounts
        self.tied = None if universal else "the context of this file is frozen into it"
        self._metric = metric
        self._cache = new_cache()
        self._reference: tuple[Pixels, Picture] | None = None

    def _see(self, reference: Pixels, candidates: Sequence[Pixels]) -> _Seen:
        # Features are kept for the next call as long as the reference is the same object.
        if self._reference is None or self._reference[0] is not reference:
            self._reference = (reference, load_picture(reference, label="reference", policy=RGB))
        first = self._reference[1]
        found = []
        for start in range(0, len(candidates), CANDIDATES_AT_ONCE):
            pairs = [
                make_pair(first, load_picture(candidate, label="candidate", policy=RGB))
                for candidate in candidates[start : start + CANDIDATES_AT_ONCE]
            ]
            found += self._metric.compare_pairs(pairs, cache=self._cache)
        names = self.part_names

        def table(rows: Iterable[Mapping[str, float]]) -> Doubles | None:
            return np.array([[row.get(n, 0.0) for n in names] for row in rows]) if names else None

        distances = np.array([one.distance for one in found])
        amounts = table(one.amounts for one in found)
        if not self.has_size:
            return _Seen(distances, amounts)
        return _Seen(
            distances,
            amounts,
            np.array([one.size for one in found]),
            table(one.strengths for one in found),
            table(one.directions for one in found),
        )


class RunTarget(PairTarget):
    """A trained metric, run by PyTorch at its working size.

    Args:
        metric: in evaluation mode.
        info: the run's description of it.
        name: for people.
        device: where the network runs.
    """

    def __init__(self, metric: Metric, info: MetricInfo, name: str, device: torch.device) -> None:
        self.has_size = metric.head.names_kinds
        importances = metric.head.importances.tolist()
        self.name = name
        self.kinds = info.distortion_names
        self.part_names = metric.head.names[:-1] if self.has_size else ()
        self.own = dict(zip(metric.head.names, importances, strict=True))
        self.tied = (
            None
            if self.has_size
            else f"the head of a {info.variant} run tells no kinds of change apart"
        )
        self._metric = metric.to(device).eval()
        self._device = device

    @torch.no_grad()
    def _see(self, reference: Pixels, candidates: Sequence[Pixels]) -> _Seen:
        first = torch.from_numpy(reference[None]).to(self._device)
        rows = []
        step = max(1, PIXELS_AT_ONCE // (reference.shape[0] * reference.shape[1]))
        for start in range(0, len(candidates), step):
            some = torch.from_numpy(np.stack(candidates[start : start + step])).to(self._device)
            if isinstance(self._metric, ChangeMetric):
                out = self._metric.outputs(first, some)
                distance = out.amounts @ self._metric.head.importances
                tensors = [distance, out.amounts[:, :-1], out.amounts[:, -1]]
                tensors += [out.strengths, out.directions]
            else:
                tensors = [self._metric(first, some)[0]]
            rows.append([tensor.double().cpu().numpy() for tensor in tensors])
        return _Seen(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def load_pair_target(
    path: Path | None,
    *,
    device: Device = Device.auto,
    threads: int | None = None,
) -> PairTarget:
    """Load the metric that a path names.

    Args:
        path: a run folder, a context file, or `dps_train.evaluate.target.EMBEDDED`; None takes
            the newest run.
        device: where it is run.
        threads: CPU threads of onnxruntime; None takes all that this process may use.

    Raises:
        DpsError: it is missing, damaged, or not supported by this machine.
    """
    if path == EMBEDDED or names_file(path):
        file = embedded.UNIVERSAL if path == EMBEDDED else path
        info = read_context_file(file).manifest
        # A universal file is opened in some context; its amounts are the same in any.
        ranking = ",".join(info.metric.distortion_names) if info.universal else None
        metric = LoadedFile.load(file, ranking=ranking, device=device, threads=threads)
        return FileTarget(metric, str(path))
    folder = newest_run() if path is None else path
    trained, manifest = load_run(folder)
    return RunTarget(trained, manifest.metric, str(folder), pick_device(device.value))
