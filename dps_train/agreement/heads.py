"""Several heads of one network on scored pairs and on BAPPS, each in several contexts.

The metric's own head measures as its users run it: a context file through onnxruntime, a
run at its working size. `UNIFORM` and `LIN` weigh channel distances of the same backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dps_infer.contexts.context import ranking_context
from dps_infer.errors import UsageError
from dps_train.agreement.adapting_cost import Judged
from dps_train.agreement.distances import Measure, Pixels
from dps_train.agreement.feature_heads import feature_measure
from dps_train.agreement.scores.scored_pairs import Floats
from dps_train.data.sources import Images
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.evaluate.heads import UNIFORM, lin_comparison, lin_weights
from dps_train.evaluate.pair_contexts import Group, PairContext
from dps_train.evaluate.pair_target import PairTarget
from dps_train.fit.settings import LIN
from dps_train.judgements.bapps import Bapps
from dps_train.judgements.head_scores import BappsDistances, bapps_distances
from dps_train.model.heads import ScalarHead, uniform_distance
from dps_train.model.metric import Metric

Distance = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NamedHead:
    """A head in one context.

    Attributes:
        head: its kind: the metric's own variant, `UNIFORM` or `LIN`.
        context: label of the context; empty for a head without one.
        ranking: whether the context is one of the random rankings.
    """

    head: str
    context: str
    ranking: bool

    @property
    def label(self) -> str:
        """Name for tables, different for different heads."""
        return f"{self.head} ({self.context})" if self.context else self.head


class Heads:
    """The heads that are asked for, ready to measure.

    Args:
        target: measures pairs with the metric's own head.
        own: kind of that head; None leaves it out.
        contexts: of it.
        metric: whose backbone `UNIFORM` and `LIN` read; None leaves both out.
        training: images to train `LIN` on, for each random ranking; None leaves it out.
        seed: of the training.
        device: where the backbone runs.
        distortions: that rankings are of.
    """

    def __init__(
        self,
        target: PairTarget,
        own: str | None,
        contexts: Sequence[PairContext],
        metric: Metric | None,
        *,
        training: Images | None,
        seed: int,
        device: torch.device,
        distortions: Sequence[Distortion] = DISTORTIONS,
    ) -> None:
        self._target, self._metric, self._device = target, metric, device
        self._contexts = contexts if own is not None else []
        self._own = [
            NamedHead(own, context.label, context.group is Group.rankings)
            for context in self._contexts
            if own is not None
        ]
        rankings = [one.label for one in contexts if one.group is Group.rankings]
        self._lin: dict[NamedHead, Tensor] = {}
        if metric is not None and training is not None and rankings:
            names = [distortion.name for distortion in distortions]
            adapted = [ranking_context(text, names) for text in rankings]
            weights = lin_weights(metric, adapted, training, seed, device, distortions)
            self._lin = {
                NamedHead(LIN, label, ranking=True): row
                for label, row in zip(rankings, weights, strict=True)
            }

    @property
    def all(self) -> list[NamedHead]:
        """Every head, the unadapted one first."""
        unadapted = [] if self._metric is None else [NamedHead(UNIFORM, "", ranking=False)]
        return [*unadapted, *self._own, *self._lin]

    def measures(self) -> list[Measure]:
        """Return the functions that measure pairs with each head, with their labels."""
        found = []
        if self._metric is not None:
            lin = {head.label: weights for head, weights in self._lin.items()}
            found.append(feature_measure(self._metric, lin, device=self._device))
        if self._own:
            found.append(Measure(tuple(head.label for head in self._own), self._measure_own))
        return found

    def judged(self, bapps: Bapps) -> dict[NamedHead, Judged]:
        """Score every head on BAPPS, whose images are as small as the working size.

        Raises:
            UsageError: the metric is a context file.
            DpsError: as `bapps_distances` and `BappsDistances.scores`.
        """
        metric = self._metric
        if metric is None:
            raise UsageError(
                f"--bapps beside --scores needs a network in PyTorch, and {self._target.name} is a "
                "context file: name a run or embedded"
            )
        features = Metric(metric.preprocess, metric.backbone, lin_comparison(), ScalarHead(0))
        z = bapps_distances(features.to(self._device), bapps, self._device)
        found = {NamedHead(UNIFORM, "", ranking=False): _judged(z, uniform_distance)}
        for head, weights in self._lin.items():
            found[head] = _judged(z, _weighing(weights))
        if self._own:
            with torch.no_grad():
                z = bapps_distances(metric.to(self._device), bapps, self._device)
                amounts = z.mapped(metric.head.cpu().amounts)
            for head, context in zip(self._own, self._contexts, strict=True):
                found[head] = _judged(amounts, _weighing(self._importances(metric, context)))
        return found

    def _measure_own(self, reference: Pixels, candidates: Sequence[Pixels]) -> Floats:
        measured = self._target.measure(
            reference, candidates, [context.importances for context in self._contexts]
        )
        return np.stack([one.distances for one in measured])

    @staticmethod
    def _importances(metric: Metric, context: PairContext) -> Tensor:
        if context.importances is None or not metric.head.names_kinds:
            return metric.head.importances
        return torch.tensor([context.importances.get(name, 0.0) for name in metric.head.names])


def _weighing(weights: Tensor) -> Distance:
    return lambda columns: columns @ weights


def _judged(z: BappsDistances, distance: Distance) -> Judged:
    return Judged(z.scores(distance), z.two_afc_each(distance))
