"""Contexts in training and evaluation: rankings to measure in, and contexts as tensors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dps_infer.contexts.context import Context, ranking_context
from dps_infer.contexts.ranking import KINDS, OTHER, REST, SIZE
from dps_infer.errors import UsageError
from dps_infer.model.manifest import MetricInfo
from dps_train.distortions.paper import NAMES

PAPER_AMOUNTS = (*NAMES, OTHER)
"""The amounts of a metric that knows only the six distortions, in their order."""

AMOUNTS = (*KINDS, OTHER, SIZE)
"""The amounts of the head of size and presence, in their order."""

MOST_LISTED = 7
"""Largest number of distortions whose rankings are listed (5,040 for seven) and shuffled. With
more distortions, single rankings are drawn."""


def measured_context(info: MetricInfo) -> Context:
    """Return the context to measure a metric in: the one that it was adapted to.

    A head of one amount does not keep the importances of distortions. Its context has a ranking,
    or else orders no distortions.
    """
    context, names = info.context, info.distortion_names
    assert context is not None, "a universal metric has no context"
    if context.distortions == names:
        return context
    if context.ranking is not None:
        return ranking_context(context.ranking, names)
    return Context({**dict.fromkeys(names, 1.0), **context.importances}, ranking=())


def all_rankings(names: Sequence[str] = NAMES) -> list[Context]:
    """Return the contexts of all rankings of distortions: 720 for the six."""
    return [
        ranking_context(tuple((name,) for name in order), names)
        for order in itertools.permutations(names)
    ]


def random_rankings(
    count: int, generator: torch.Generator, names: Sequence[str] = NAMES
) -> list[Context]:
    """Return the contexts of `count` different rankings, or of all if there are fewer."""
    if len(names) <= MOST_LISTED:
        rankings = all_rankings(names)
        drawn = torch.randperm(len(rankings), generator=generator)[:count]
        return [rankings[int(i)] for i in drawn]
    orders: dict[tuple[int, ...], None] = {}
    while len(orders) < min(count, math.factorial(len(names))):
        orders[tuple(torch.randperm(len(names), generator=generator).tolist())] = None
    return [ranking_context(tuple((names[i],) for i in order), names) for order in orders]


def applied_context(context: Context, names: Sequence[str]) -> Context:
    """Return a context for a training that knows only distortions that it applies.

    Args:
        context: of any kinds of change.
        names: the distortions that the training applies.

    Raises:
        UsageError: the context names another kind.
    """
    named = {name for group in context.ranking or () for name in group}
    if context.ranking is None:
        named = {name for name, importance in context.importances.items() if importance}
    unknown = named - {*names, OTHER, REST}
    if unknown:
        raise UsageError(
            f"{', '.join(sorted(unknown))}: this variant learns from distortions that it applies "
            f"({', '.join(names)}): rank only these, or take --variant additive"
        )
    return (
        replace(context, importances={}).for_distortions(names)
        if context.ranking
        else replace(
            context, importances={name: context.importances[name] for name in (*names, OTHER)}
        )
    )


def check_ordered(context: Context) -> None:
    """Refuse a context that orders no two distortions, for training that follows their order.

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
        contexts: R contexts, at least one.
        names: the amounts to include, 0 where a context has none; None includes all, in order.
    """
    wanted = tuple(contexts[0].importances) if names is None else names
    return torch.tensor([[c.importances.get(name, 0.0) for name in wanted] for c in contexts])


def pair_table(contexts: Sequence[Context], names: Sequence[str] | None = None) -> Tensor:
    """Return the ordered pairs: bool [R, K, K], true if the row's distortion is less disruptive.

    `names` are the distortions to include; None includes all.
    """
    names = list(contexts[0].distortions if names is None else names)
    # NaN compares false with every place, so unranked distortions form no pair.
    places = torch.full((len(contexts), len(names)), torch.nan)
    for row, context in enumerate(contexts):
        for place, group in enumerate(context.order):
            for name in group:
                if name in names:
                    places[row, names.index(name)] = place
    return places[:, :, None] < places[:, None, :]
