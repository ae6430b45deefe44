"""Scored pairs and ladders of real changes as columns of a study.

Every metric of a study is a head on channel distances z of whole images at its working size. So
each network compares these images once, and every head is measured on the stored z.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_train.agreement.agreement import mean_within
from dps_train.agreement.correlations import Spearman
from dps_train.agreement.distances import Measure, measure_pairs
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.data.sources import read_pixels
from dps_train.evaluate.ladders.figures import evenness, order
from dps_train.evaluate.ladders.measuring import climb, kinds_here
from dps_train.evaluate.ladders.photographs import Photograph
from dps_train.evaluate.pair_contexts import Group, PairContext
from dps_train.evaluate.pair_target import PairMeasures
from dps_train.model.metric import Metric

Distance = Callable[[Tensor], Tensor]
"""From z [N, D] to distances [N]."""


@dataclass(frozen=True)
class ExtraImages:
    """Images that a study measures its metrics on besides held-out images and BAPPS.

    Attributes:
        scores: sets of scored pairs.
        photographs: the images of the ladders.
    """

    scores: Sequence[ScoredPairs] = ()
    photographs: Sequence[Photograph] = ()

    def compared(self, metric: Metric, device: torch.device) -> ExtraDistances:
        """Compare all images with a metric's network.

        Args:
            metric: the metric; it is moved to `device`.
            device: where the network runs.

        Raises:
            ImageError: an image can no longer be read.
        """
        target = _Channels(metric, device)
        scored = {}
        for pairs in self.scores:
            names = tuple(map(str, range(target.channels(pairs))))
            found = measure_pairs(pairs, [Measure(names, target.z)])
            scored[pairs.source] = torch.from_numpy(np.stack(list(found.values()), axis=1)).float()
        ladders = {}
        if self.photographs:
            own = PairContext("own", Group.own, None)
            kinds, _ = kinds_here()
            climbed, _ = climb(target, [own], self.photographs, kinds)
            ladders = {
                one.kind.name: torch.from_numpy(np.moveaxis(one.distances, 0, -1)).float()
                for one in climbed
            }
        return ExtraDistances({pairs.source: pairs for pairs in self.scores}, scored, ladders)

    def sha256(self) -> tuple[str | None, str | None]:
        """Return hashes of the scored pairs and of the photographs; None if there are none."""
        scores = "".join(f"{pairs.source}:{pairs.sha256()};" for pairs in self.scores)
        digest = hashlib.sha256()
        for photograph in self.photographs:
            digest.update(f"{photograph.name}{photograph.pixels.shape}".encode())
            digest.update(np.ascontiguousarray(photograph.pixels).data)
        return (
            hashlib.sha256(scores.encode()).hexdigest() if scores else None,
            digest.hexdigest() if self.photographs else None,
        )


@dataclass(frozen=True)
class ExtraDistances:
    """Channel distances of the images of `ExtraImages`.

    Attributes:
        pairs: the sets, by name.
        scored: z of their pairs [N, D], by name.
        ladders: z [P, S, D] of P photographs at S steps, by kind of change.
    """

    pairs: Mapping[str, ScoredPairs] = field(default_factory=dict)
    scored: Mapping[str, Tensor] = field(default_factory=dict)
    ladders: Mapping[str, Tensor] = field(default_factory=dict)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> ExtraDistances:
        """Return the distances with `function` applied to every tensor [..., D]."""
        return ExtraDistances(
            self.pairs,
            {name: function(z) for name, z in self.scored.items()},
            {name: function(z) for name, z in self.ladders.items()},
        )

    @torch.no_grad()
    def columns(self, distance: Distance, prefix: str = "") -> dict[str, float]:
        """Measure a head's distance, and return the columns of the table.

        Args:
            distance: the distance of the head.
            prefix: inserted after the first dot, as in ``ladders.baseline.order``.
        """
        found: dict[str, float] = {}
        for name, z in self.scored.items():
            pairs = self.pairs[name]
            once = np.ones((1, int(pairs.groups.max()) + 1))
            values = distance(z).double().numpy()
            spearman = Spearman(pairs.dissimilarity, values, pairs.groups)
            found[f"scores.{prefix}{name}.overall"] = float(spearman.overall(once)[0])
            found[f"scores.{prefix}{name}.within"] = float(mean_within(spearman, once)[0])
        if self.ladders:
            climbed = [
                distance(z.flatten(0, 1)).unflatten(0, z.shape[:2]).double().numpy()
                for z in self.ladders.values()
            ]
            orders = [float(order(one).mean()) for one in climbed]
            found[f"ladders.{prefix}order"] = float(np.mean(orders))
            found[f"ladders.{prefix}lowest"] = min(orders)
            # The first step may be invisible, and a ratio of two distances near 0 is meaningless.
            found[f"ladders.{prefix}evenness"] = max(
                float(evenness(one)[1:].max()) for one in climbed
            )
        return found


class _Channels:
    """A network that measures pairs by each channel distance, in place of contexts.

    Args:
        metric: the metric of the network; it is moved to `device`.
        device: where the network runs.
    """

    def __init__(self, metric: Metric, device: torch.device) -> None:
        self._metric = metric.to(device).eval()
        self._device = device

    @torch.no_grad()
    def z(self, reference: Pixels, candidates: Sequence[Pixels]) -> Floats:
        """Return z [D, N] of N candidates."""
        first = torch.from_numpy(reference[None]).to(self._device)
        rows = []
        for candidate in candidates:
            second = torch.from_numpy(np.ascontiguousarray(candidate)[None]).to(self._device)
            rows.append(self._metric.comparison(*self._metric.features(first, second)))
        return torch.cat(rows).double().cpu().numpy().T

    def channels(self, pairs: ScoredPairs) -> int:
        """Return the length D of z for the images of a set."""
        pixels = read_pixels(pairs.references[0])
        return len(self.z(pixels, [pixels]))

    def measure(
        self,
        reference: Pixels,
        candidates: Sequence[Pixels],
        contexts: Sequence[Mapping[str, float] | None],
    ) -> list[PairMeasures]:
        """Return one entry per channel distance; the contexts are ignored."""
        return [PairMeasures(distances) for distances in self.z(reference, candidates)]
