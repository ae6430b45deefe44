"""A context as training and evaluation use it: importances, and who should be closer than whom."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.ranking import OTHER, Ranking, ranking_importances
from dps_infer.errors import UsageError
from dps_infer.model.manifest import MetricInfo
from dps_train.distortions.paper import NAMES

AMOUNTS = (*NAMES, OTHER)
"""The columns of amounts and importances, of a metric that knows no distortion but the six."""

MOST_LISTED = 7
"""Distortions whose rankings are listed: 5,040 of seven. Of more, some are drawn."""


@dataclass(frozen=True)
class Context:
    """What counts as disruptive.

    Attributes:
        ranking: tied groups from the least to the most disruptive; judged pairs follow it.
        importances: per distortion, in the order of their numbers, and `other`, last.
        given: whether the importances were given directly, and the ranking follows from them.
    """

    ranking: Ranking
    importances: Mapping[str, float]
    given: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The distortions that there are, ranked or not."""
        return tuple(self.importances)[:-1]


def ranking_context(ranking: Ranking, names: Sequence[str] = NAMES) -> Context:
    """Return the context of a ranking of some of the distortions called `names`."""
    return Context(ranking, ranking_importances(ranking, names))


def importance_context(importances: Mapping[str, float]) -> Context:
    """Return the context of importances, `other` last; equal ones are tied."""
    names = tuple(importances)[:-1]
    levels = sorted({importances[name] for name in names})
    groups = (tuple(name for name in names if importances[name] == level) for level in levels)
    return Context(tuple(groups), importances, given=True)


def saved_context(info: MetricInfo) -> Context:
    """Return the context that a trained metric was adapted to.

    Judgements order no distortions; nor do importances of a head that tells none apart.
    """
    importances = info.importances or {}
    names = tuple(distortion.name for distortion in info.distortions)
    amounts = (*names, OTHER)
    told_apart = set(importances) == set(amounts)
    if info.judgements is not None or (info.ranking is None and not told_apart):
        return Context((), {**dict.fromkeys(amounts, 1.0), **importances}, given=True)
    if info.ranking is None:
        return importance_context(importances)
    ranking = tuple(tuple(group) for group in info.ranking)
    return Context(ranking, importances) if told_apart else ranking_context(ranking, names)


def all_rankings(names: Sequence[str] = NAMES) -> list[Context]:
    """Return the contexts of all rankings of distortions: 720 of the six."""
    return [
        ranking_context(tuple((name,) for name in order), names)
        for order in itertools.permutations(names)
    ]


def random_rankings(
    count: int, generator: torch.Generator, names: Sequence[str] = NAMES
) -> list[Context]:
    """Return the contexts of `count` different rankings, at most as many as there are."""
    if len(names) <= MOST_LISTED:
        rankings = all_rankings(names)
        drawn = torch.randperm(len(rankings), generator=generator)[:count]
        return [rankings[int(i)] for i in drawn]
    orders: dict[tuple[int, ...], None] = {}
    while len(orders) < min(count, math.factorial(len(names))):
        orders[tuple(torch.randperm(len(names), generator=generator).tolist())] = None
    return [ranking_context(tuple((names[i],) for i in order), names) for order in orders]


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


def importance_table(contexts: Sequence[Context], names: Sequence[str] | None = None) -> Tensor:
    """Return the importances of several contexts of the same distortions: [R, K + 1].

    Args:
        contexts: at least one.
        names: of the amounts that are wanted; None for all, in order.
    """
    wanted = tuple(contexts[0].importances) if names is None else names
    return torch.tensor([[c.importances[name] for name in wanted] for c in contexts])


def pair_table(contexts: Sequence[Context]) -> Tensor:
    """Return which pairs are judged: bool [R, K, K], true where row is less disruptive."""
    names = contexts[0].names
    # Unranked distortions get a place that compares false with every other.
    places = torch.full((len(contexts), len(names)), torch.nan)
    for row, context in enumerate(contexts):
        for place, group in enumerate(context.ranking):
            for name in group:
                places[row, names.index(name)] = place
    return places[:, :, None] < places[:, None, :]
