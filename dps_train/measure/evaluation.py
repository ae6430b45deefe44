"""The measures of a metric on held-out images: agreement with contexts, and marks of a metric.

Every context and every head is measured on the same changes
(`dps_train.measure.evaluation_bank`). Definitions:

* score: 2AFC over every pair of distortions that the ranking orders and every pair of
  draws in the paper's ranges, mean over images. A tie of distances counts 0.5.
* baseline: the same for the unadapted distance of the same pairs.
* ceiling: the same for the true amounts of the draws.
* improved: share of contexts whose score is above their baseline.
* named: per distortion, share of draws in the paper's range of which its amount is larger
  than every other amount; only for heads that report amounts.
* monotonicity: per distortion, Spearman correlation of distance with strength from
  barely visible to the end of the range, averaged over images and contexts.
* composition: share of (image, two distortions in range) where both together are at
  least as far as the farther of the two alone.
* stability: distance of uniform noise of half a gray level, over the median distance of
  the context's least disruptive distortion, or of the closest one if the context orders none.
* retention: per kind of change that training never saw, Spearman correlation of
  distance with its strength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import SIZE
from dps_train.contexts import importance_table, pair_table
from dps_train.measure.evaluation_bank import EvaluationBank
from dps_train.measure.statistics import composition_share, named_share, spearman, two_afc
from dps_train.model.context_heads import AdaptedHead, context_distances, head_in_contexts
from dps_train.model.heads import Head

DISTANCES_AT_ONCE = 2**20
"""Distances of one kind, over all contexts that are measured together: it bounds the memory."""


@dataclass(frozen=True)
class Spread:
    """A measure over several contexts."""

    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class Measures:
    """The measures; see the module for definitions. Keys of `pairs` are ``less>more``.

    None stands for: scores if no context orders two distortions; `baseline` and `improved` also
    if there is no unadapted distance; `named` if the head reports no amounts; stability if the
    metric ignores the least disruptive distortion or cannot see the noise; a monotonicity if no
    image shows the distortion at several strengths.
    """

    rankings: int
    score: Spread | None
    baseline: Spread | None
    ceiling: Spread | None
    improved: float | None
    pairs: dict[str, float]
    baseline_pairs: dict[str, float] | None
    ceiling_pairs: dict[str, float]
    named: dict[str, float] | None
    monotonicity: dict[str, float | None]
    composition: float
    stability: float | None
    retention: dict[str, float]
    images: int


@torch.no_grad()
def evaluate(head: Head, bank: EvaluationBank, contexts: Sequence[Context]) -> Measures:
    """Measure a head in each of several contexts."""
    return evaluate_adapted(head_in_contexts(head, contexts), bank, contexts)


@torch.no_grad()
def evaluate_adapted(
    adapted: AdaptedHead, bank: EvaluationBank, contexts: Sequence[Context]
) -> Measures:
    """Measure a head that was adapted to these contexts, with one row of weights each."""
    judged = pair_table(contexts, bank.names)
    columns = bank.mapped(adapted.columns)
    at_once = max(1, DISTANCES_AT_ONCE // bank.graded[..., 0].numel())
    parts = [
        _marks(columns, weights, importances, pairs)
        for weights, importances, pairs in zip(
            adapted.weights.split(at_once),
            importance_table(contexts, bank.names).split(at_once),
            judged.split(at_once),
            strict=True,
        )
    ]
    marks = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    baseline = None
    if adapted.total is not None:
        uniform = adapted.total(bank.drawn.flatten(0, -2)).unflatten(0, bank.drawn.shape[:-1])
        baseline = two_afc(uniform[None], judged)
    named = None
    if adapted.names is not None and set(bank.names) <= set(adapted.names):
        others = [name for name in adapted.names if name not in (*bank.names, SIZE)]
        kinds = [adapted.names.index(name) for name in (*bank.names, *others)]
        named = named_share(columns.drawn[..., kinds], bank.names)
    stable = bool(marks["stability"].isfinite().all())
    return Measures(
        rankings=len(contexts),
        score=_spread(marks["score"]),
        baseline=None if baseline is None else _spread(baseline),
        ceiling=_spread(marks["ceiling"]),
        improved=None if baseline is None else _improved(marks["score"], baseline),
        pairs=_by_pair(marks["score"], bank.names),
        baseline_pairs=None if baseline is None else _by_pair(baseline, bank.names),
        ceiling_pairs=_by_pair(marks["ceiling"], bank.names),
        named=named,
        monotonicity=_by_name(marks["monotonicity"], bank.names),
        composition=float(marks["composition"].mean()),
        stability=float(marks["stability"].mean()) if stable else None,
        retention=dict(zip(bank.unseen, marks["retention"].mean(dim=0).tolist(), strict=True)),
        images=bank.noise.shape[0],
    )


def _marks(
    columns: EvaluationBank, weights: Tensor, importances: Tensor, judged: Tensor
) -> dict[str, Tensor]:
    """Measure R contexts together, from columns in the place of z and weights [R, F].

    Returns score and ceiling [R, K, K], NaN if not judged; monotonicity [R, K]; composition [R];
    stability [R], infinite or NaN if it is undefined; and retention [R, U]: means over images.
    """
    distances = columns.mapped(lambda read: context_distances(read, weights))
    kinds = columns.drawn_amounts.shape[0]
    true_distances = importances[:, :kinds, None, None] * columns.drawn_amounts
    unseen = [spearman(series, 1).mean(dim=1) for series in distances.unseen.values()]
    return {
        "score": two_afc(distances.drawn, judged),
        "ceiling": two_afc(true_distances, judged),
        "monotonicity": spearman(distances.graded, 2, columns.strengths).nanmean(dim=2),
        "composition": composition_share(distances.drawn[:, :, 0], distances.composed),
        "stability": distances.noise.mean(dim=1) / _least(distances.drawn, importances, judged),
        "retention": torch.stack(unseen, dim=1),
    }


def _least(drawn: Tensor, importances: Tensor, judged: Tensor) -> Tensor:
    """Return the median distance [R] of each context's least disruptive distortion."""
    typical = drawn.flatten(2).nanmedian(dim=2).values
    first = judged.any(dim=2) & ~judged.any(dim=1)
    ranks = torch.where(first, importances[:, : typical.shape[1]], torch.inf)
    # If the context orders nothing, take the closest distortion instead.
    ranks = torch.where(first.any(dim=1, keepdim=True), ranks, typical)
    return typical[torch.arange(len(typical)), ranks.argmin(dim=1)]


def _mean(table: Tensor) -> Tensor:
    """Return the mean over the judged pairs, per context: [R]."""
    judged = table.isfinite()
    return torch.where(judged, table, 0).sum(dim=(1, 2)) / judged.sum(dim=(1, 2))


def _improved(score: Tensor, baseline: Tensor) -> float | None:
    if not score.isfinite().any():
        return None
    return float((_mean(score) > _mean(baseline)).float().mean())


def _spread(table: Tensor) -> Spread | None:
    values = _mean(table)
    values = values[values.isfinite()]
    if len(values) == 0:
        return None
    return Spread(float(values.mean()), float(values.min()), float(values.max()))


def _by_pair(table: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the mean of each pair over the contexts that judge it."""
    judged = table.isfinite()
    count = judged.sum(dim=0)
    mean = torch.where(judged, table, 0).sum(dim=0) / count
    return {
        f"{names[less]}>{names[more]}": float(mean[less, more])
        for less, more in count.nonzero().tolist()
    }


def _by_name(values: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    """Return the mean over the contexts by name; None if nothing could be measured."""
    means = values.mean(dim=0).tolist()
    return {
        name: None if math.isnan(mean) else mean for name, mean in zip(names, means, strict=True)
    }
