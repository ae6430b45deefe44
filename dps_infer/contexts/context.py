"""A context: what counts as disruptive to similarity, with its name and reasons.

It is one immutable value, used by training, export and comparison alike. It comes from a
ranking, from importances, from a saved file (`dps_infer.contexts.saved`), or from a manifest
(`dps_infer.model.manifest.MetricInfo.context`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dps_infer.contexts.ranking import (
    KINDS,
    OTHER,
    SIZE,
    Ranking,
    check_importances,
    check_ranking,
    describe_ranking,
    format_importances,
    format_ranking,
    parse_importances,
    parse_ranking,
    ranking_importances,
    without_rest,
)
from dps_infer.errors import RankingError, UsageError

_FILE_SAFE = str.maketrans({",": "-", "=": "~", "*": "rest"})


@dataclass(frozen=True)
class Context:
    """What counts as disruptive, and why.

    Attributes:
        importances: one number >= 0 per distortion, in the order of their numbers, one for
            `other`, and one for `size` if the general distance counts as well.
        ranking: tied groups from the least to the most disruptive, from which the importances
            follow; None if the importances were given directly.
        name: lower-case letters, digits, - and _; None for a context without a name.
        why: the reasons, for people.
        origin: where it came from, for people.
        judgements: number of judged triplets that the importances were fitted to, if any.
        figures: finite numbers about the context, by name.
    """

    importances: Mapping[str, float]
    ranking: Ranking | None = None
    name: str | None = None
    why: str = ""
    origin: str = ""
    judgements: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def distortions(self) -> tuple[str, ...]:
        """The names of the distortions, ranked or not."""
        return tuple(name for name in self.importances if name not in (OTHER, SIZE))

    @cached_property
    def order(self) -> Ranking:
        """The groups of distortions that training and evaluation compare; ties form no pair.

        The ranking, or else the distortions sorted by importance. Importances that were fitted
        to judgements order nothing, because such a metric is scored on the judgements.
        """
        if self.ranking is not None:
            return without_rest(self.ranking, self.distortions)
        if self.judgements is not None:
            return ()
        levels = sorted({self.importances[name] for name in self.distortions})
        return tuple(
            tuple(name for name in self.distortions if self.importances[name] == level)
            for level in levels
        )

    @property
    def label(self) -> str:
        """A name for columns and files: the context's own, or its content in file-safe letters.

        >>> ranking_context("color,blur", ("color", "blur")).label
        'color-blur'
        """
        if self.name is not None:
            return self.name
        if self.ranking is None:
            return format_importances(self.importances).replace("=", "-").replace(",", "_")
        return format_ranking(self.ranking).translate(_FILE_SAFE)

    def describe(self) -> str:
        """Describe the context in one line, importances to three digits.

        >>> importance_context({"color": 0.51239, "blur": 1.0}, ("color", "blur")).describe()
        'importances color=0.512,blur=1'
        """
        if self.ranking is not None:
            return describe_ranking(self.ranking)
        rounded = {name: float(f"{value:.3g}") for name, value in self.importances.items()}
        importances = f"importances {format_importances(rounded)}"
        if self.judgements is None:
            return importances
        judged = f"as people judged {self.judgements} triplets"
        return judged if list(self.importances) == [OTHER] else f"{importances}, {judged}"

    def mentions(self) -> str:
        """Return the ranking, or the importances above 0, as a user would write them."""
        if self.ranking is not None:
            return format_ranking(self.ranking)
        return format_importances(self.importances)

    def for_distortions(self, names: Sequence[str]) -> Context:
        """Return this context for a metric with these distortions.

        Distortions that the context leaves out get the importance that `ranking_importances` gives
        them if there is a ranking, and 0 otherwise.

        Raises:
            RankingError: a distortion that counts is unknown to the metric.
        """
        if tuple(names) == self.distortions:
            return self
        try:
            if self.ranking is not None:
                importances = ranking_importances(check_ranking(self.ranking, names), names)
            else:
                # An unknown distortion that does not count does no harm.
                given = {name: value for name, value in self.importances.items() if value}
                importances = check_importances(given, names)
        except RankingError as error:
            if self.name is None:
                raise
            raise RankingError(f"context {self.name}: {error}") from None
        return replace(self, importances=importances)


def ranking_context(ranking: str | Ranking, names: Sequence[str] = KINDS) -> Context:
    """Return the context of a ranking.

    Args:
        ranking: as text (`parse_ranking`) or as groups.
        names: the metric's distortions, in the order of their numbers.

    Raises:
        RankingError: see `parse_ranking`.
    """
    if isinstance(ranking, str):
        groups = parse_ranking(ranking, names)
    else:
        groups = check_ranking(ranking, names)
    return Context(ranking_importances(groups, names), groups)


def importance_context(
    importances: str | Mapping[str, float], names: Sequence[str] = KINDS
) -> Context:
    """Return the context of importances that are given directly.

    Args:
        importances: as text (`parse_importances`) or as numbers by name; missing ones are 0.
        names: the metric's distortions, in the order of their numbers.

    Raises:
        RankingError: see `parse_importances`.
    """
    if isinstance(importances, str):
        return Context(parse_importances(importances, names))
    return Context(check_importances(importances, names))


def choose_context(
    names: Sequence[str],
    *,
    ranking: str | Ranking | None = None,
    importances: str | Mapping[str, float] | None = None,
    context: Context | None = None,
) -> Context:
    """Return the one context that is given, for a metric with these distortions.

    Raises:
        UsageError: not exactly one of the three is given, or it is not valid.
    """
    given = sum(value is not None for value in (ranking, importances, context))
    if given > 1:
        raise UsageError(
            f"expected one of a ranking, importances and a saved context, got {given}: give one"
        )
    if context is not None:
        return context.for_distortions(names)
    if ranking is not None:
        return ranking_context(ranking, names)
    if importances is not None:
        return importance_context(importances, names)
    raise UsageError(
        "a universal metric needs a context: give a ranking "
        f"(--ranking {','.join(names)}, the least disruptive first) or importances "
        f"(--importance {names[0]}=0.1,{names[-1]}=5)"
    )
