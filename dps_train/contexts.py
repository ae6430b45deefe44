"""A context as training and evaluation use it: importances, and who should be closer than whom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.errors import UsageError
from dps_infer.manifest import MetricInfo
from dps_infer.ranking import OTHER, Ranking, ranking_importances
from dps_train.distortions import NAMES

AMOUNTS = (*NAMES, OTHER)
"""The columns of amounts and importances."""


@dataclass(frozen=True)
class Context:
    """What counts as disruptive.

    Attributes:
        ranking: tied groups from the least to the most disruptive; judged pairs follow it.
        importances: per distortion and `other`.
        given: whether the importances were given directly, and the ranking follows from them.
    """

    ranking: Ranking
    importances: Mapping[str, float]
    given: bool = False


def ranking_context(ranking: Ranking) -> Context:
    """Return the context of a ranking."""
    return Context(ranking, ranking_importances(ranking, NAMES))


def importance_context(importances: Mapping[str, float]) -> Context:
    """Return the context of importances; equal ones are tied."""
    levels = sorted({importances[name] for name in NAMES})
    groups = (tuple(name for name in NAMES if importances[name] == level) for level in levels)
    return Context(tuple(groups), importances, given=True)


def saved_context(info: MetricInfo) -> Context:
    """Return the context that a trained metric was adapted to.

    Judgements order no distortions; nor do importances of a head that tells none apart.
    """
    importances = info.importances or {}
    told_apart = set(importances) == set(AMOUNTS)
    if info.judgements is not None or (info.ranking is None and not told_apart):
        return Context((), {**dict.fromkeys(AMOUNTS, 1.0), **importances}, given=True)
    if info.ranking is None:
        return importance_context(importances)
    ranking = tuple(tuple(group) for group in info.ranking)
    return Context(ranking, importances) if told_apart else ranking_context(ranking)


def all_rankings() -> list[Context]:
    """Return the contexts of all 720 rankings of the six."""
    return [
        ranking_context(tuple((name,) for name in order)) for order in itertools.permutations(NAMES)
    ]


def random_rankings(count: int, generator: torch.Generator) -> list[Context]:
    """Return the contexts of `count` different rankings of the six."""
    rankings = all_rankings()
    return [rankings[int(i)] for i in torch.randperm(len(rankings), generator=generator)[:count]]


def check_ordered(context: Context) -> None:
    """Refuse a context that orders no two distortions, where it is all there is to learn from.

    Raises:
        UsageError: it orders none.
    """
    if not pair_table([context]).any():
        raise UsageError(
            "the context orders no two distortions, so there is nothing to learn from it: "
            "expected a ranking such as 3,1,5"
        )


def importance_table(contexts: Sequence[Context]) -> Tensor:
    """Return the importances of several contexts: [R, K + 1]."""
    return torch.tensor([[c.importances[name] for name in AMOUNTS] for c in contexts])


def pair_table(contexts: Sequence[Context]) -> Tensor:
    """Return which pairs are judged: bool [R, K, K], true where row is less disruptive."""
    # Unranked distortions get a place that compares false with every other.
    places = torch.full((len(contexts), len(NAMES)), torch.nan)
    for row, context in enumerate(contexts):
        for place, group in enumerate(context.ranking):
            for name in group:
                places[row, NAMES.index(name)] = place
    return places[:, :, None] < places[:, None, :]
