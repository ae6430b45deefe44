"""The figures of ladders as JSON, table and page show them."""

from __future__ import annotations

from dataclasses import dataclass

from dps_train.evaluate.pair_contexts import Group


@dataclass(frozen=True)
class LadderFigures:
    """One ladder in one context.

    Attributes:
        order: rank correlation of distance with the step, mean over the photographs.
        worst_photograph: the lowest of any photograph.
        evenness: p90 / p10 over the photographs, at the worst step beyond the first.
        named: share of photographs whose largest part at the medium step is the kind's own; None
            where the metric has no name for it.
        distances: of each photograph, at each step.
    """

    order: float
    worst_photograph: float
    evenness: float
    named: float | None
    distances: list[list[float]]


@dataclass(frozen=True)
class GrossFigures:
    """A gross change in one context.

    Attributes:
        distances: from each whole photograph.
        times_mild: by ladder, how many times as far it is as the second step: median over the
            photographs.
        beyond_third: by ladder, the share of photographs in which it is farther than the third
            step.
        ranked_above: the ladders that the context holds for more disruptive than this change: they
            may be farther.
    """

    distances: list[float]
    times_mild: dict[str, float]
    beyond_third: dict[str, float]
    ranked_above: list[str]


@dataclass(frozen=True)
class ContextFigures:
    """Everything in one context.

    Attributes:
        label: of the context.
        group: where the context comes from.
        importances: by part; None where they are not known.
        ladders: by the name of the kind.
        gross: by the name of the change.
    """

    label: str
    group: Group
    importances: dict[str, float] | None
    ladders: dict[str, LadderFigures]
    gross: dict[str, GrossFigures]


@dataclass(frozen=True)
class KindFigures:
    """A ladder, and its figures that do not depend on the context.

    Attributes:
        unit: of the steps.
        steps: the strengths.
        named_as: the metric's name for it, if it has one.
        direction: share of photographs whose direction is right at the medium step; None where the
            metric gives none, or the kind has none.
        strength_error: median relative error of the strength at the medium step; None where the
            metric gives none in the unit of the steps.
    """

    unit: str
    steps: list[float]
    named_as: str | None
    direction: float | None
    strength_error: float | None


@dataclass(frozen=True)
class LadderSummary:
    """One ladder over the contexts of a group.

    Attributes:
        order: mean over contexts and photographs.
        worst_photograph: the lowest in any context.
        evenness: the largest in any context.
        named: mean over contexts.
    """

    order: float
    worst_photograph: float
    evenness: float
    named: float | None


@dataclass(frozen=True)
class GrossSummary:
    """A gross change over the contexts of a group.

    Attributes:
        times_mild: the lowest of any context and ladder that is not ranked above it; None where
            every ladder is ranked above it in every context.
        ladder: the one with that lowest figure.
        beyond_third: mean share of photographs, over contexts and ladders.
    """

    times_mild: float | None
    ladder: str | None
    beyond_third: float


@dataclass(frozen=True)
class GroupSummary:
    """The figures of all contexts of a group together.

    Attributes:
        contexts: how many there are.
        order: mean over everything.
        lowest_ladder: the lowest `LadderSummary.order`.
        worst_photograph: the lowest of any photograph, ladder and context.
        evenness: the largest of any ladder and context.
        named: mean over the ladders that the metric has a name for; None if it has none.
        ladders: by the name of the kind.
        gross: by the name of the change.
    """

    contexts: int
    order: float
    lowest_ladder: float
    worst_photograph: float
    evenness: float
    named: float | None
    ladders: dict[str, LadderSummary]
    gross: dict[str, GrossSummary]


@dataclass(frozen=True)
class SizeFigures:
    """Everything at one size of the photographs.

    Attributes:
        megapixels: that they were scaled to; None for their own size.
        photographs: width and height by name, in the order of all lists.
        kinds: the ladders by name.
        groups: summaries by `Group`.
        contexts: in the order asked for.
    """

    megapixels: float | None
    photographs: dict[str, list[int]]
    kinds: dict[str, KindFigures]
    groups: dict[str, GroupSummary]
    contexts: list[ContextFigures]

    @property
    def title(self) -> str:
        """How many photographs of which size, for people."""
        size = "their own size" if self.megapixels is None else f"{self.megapixels:g} megapixels"
        return f"{len(self.photographs)} photographs at {size}"


@dataclass(frozen=True)
class LadderReport:
    """Everything that was measured; `docs/json/ladders.schema.json` describes it as JSON.

    Attributes:
        target: the metric.
        data: where the photographs come from.
        seed: of everything random.
        left_out: why there is no ladder of a kind, by its name.
        sizes: the figures at each size of the photographs.
    """

    target: str
    data: str
    seed: int
    left_out: dict[str, str]
    sizes: list[SizeFigures]

    @property
    def title(self) -> str:
        """The metric, for people."""
        return self.target
