"""What a file's context is: frozen into it, or for a universal one given at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dps_infer.contexts.ranking import (
    OTHER,
    Ranking,
    check_importances,
    describe_ranking,
    format_importances,
    format_ranking,
    parse_importances,
    parse_ranking,
    ranking_importances,
)
from dps_infer.errors import UsageError
from dps_infer.model.manifest import MetricInfo

if TYPE_CHECKING:
    from dps_infer.contexts.saved import SavedContext


@dataclass(frozen=True)
class Choice:
    """What counts as disruptive.

    Attributes:
        importances: one for each amount, in their order.
        ranking: what the importances follow from; None where they were given directly.
        judgements: how many triplets judged by people the context follows from, if it does.
        name: of the saved context that it is, if it is one.
    """

    importances: dict[str, float]
    ranking: Ranking | None
    judgements: int | None = None
    name: str | None = None


def choose(
    metric: MetricInfo,
    *,
    ranking: str | None = None,
    importances: str | Mapping[str, float] | None = None,
    saved: SavedContext | None = None,
) -> Choice:
    """Return the context of a plain metric, or that which is given to a universal one.

    Args:
        metric: whose context it is.
        ranking: as `dps_infer.contexts.ranking.parse_ranking` reads it.
        importances: as `dps_infer.contexts.ranking.parse_importances` reads them, or as numbers by
            name, where those that are missing are 0.
        saved: a context that was kept.

    Raises:
        UsageError: a universal metric was not given exactly one of the three, a plain one
            was given any, or they cannot be understood.
    """
    names = [distortion.name for distortion in metric.distortions]
    given = sum(value is not None for value in (ranking, importances, saved))
    own = _own(metric)
    if own is not None:
        if given:
            raise UsageError(
                f"this context file has its context frozen in ({describe(own)}): give it no "
                "ranking, no importances and no saved context, or take a universal file"
            )
        return own
    if given > 1:
        raise UsageError(
            f"expected one of a ranking, importances and a saved context, got {given}: give one"
        )
    if saved is not None:
        return Choice(saved.importances_of(names), saved.ranking, name=saved.name)
    if ranking is not None:
        groups = parse_ranking(ranking, names)
        return Choice(ranking_importances(groups, names), groups)
    if importances is None:
        raise UsageError(f"a universal metric must be told what matters: {_how_to(names)}")
    if isinstance(importances, str):
        return Choice(parse_importances(importances, names), None)
    return Choice(check_importances(importances, names), None)


def describe(choice: Choice) -> str:
    """Say a context in words, importances to three digits.

    >>> describe(Choice({"color": 0.51239, "blur": 1.0, "other": 0.0}, None))
    'importances color=0.512,blur=1'
    """
    if choice.ranking is None:
        rounded = {name: float(f"{value:.3g}") for name, value in choice.importances.items()}
        importances = f"importances {format_importances(rounded)}"
        if choice.judgements is None:
            return importances
        judged = f"as people judged {choice.judgements} triplets"
        return judged if list(choice.importances) == [OTHER] else f"{importances}, {judged}"
    return describe_ranking(choice.ranking)


def name_of(choice: Choice) -> str:
    """Name a context by what it is, in letters that a file's name may have.

    >>> name_of(Choice({"color": 0.5, "blur": 1.0, "other": 0.7}, (("color",), ("blur",))))
    'color-blur'
    """
    if choice.name is not None:
        return choice.name
    if choice.ranking is None:
        return format_importances(choice.importances).replace("=", "-").replace(",", "_")
    return format_ranking(choice.ranking).replace(",", "-").replace("=", "~")


def describe_own(metric: MetricInfo) -> str:
    """Say the context of a metric in words, or that it has none of its own."""
    own = _own(metric)
    return "universal: given at run time" if own is None else describe(own)


def _own(metric: MetricInfo) -> Choice | None:
    if metric.importances is None:
        return None
    groups = None if metric.ranking is None else tuple(tuple(group) for group in metric.ranking)
    judgements = None if metric.judgements is None else metric.judgements.triplets
    return Choice(metric.importances, groups, judgements)


def _how_to(names: Sequence[str]) -> str:
    return (
        f"give a ranking (--ranking {','.join(names)}, the least disruptive first) or importances "
        f"(--importance {names[0]}=0.1,{names[-1]}=5)"
    )
