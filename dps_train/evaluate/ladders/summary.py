"""From measured distances to the figures of each context and of groups of contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dps_infer.contexts.ranking import OTHER
from dps_train.evaluate.ladders.figures import (
    evenness,
    named,
    order,
    ratio,
    right_direction,
    strength_error,
)
from dps_train.evaluate.ladders.kinds import MEDIUM, MILD, THIRD, Gross, Kind
from dps_train.evaluate.ladders.measuring import Climbed, Far
from dps_train.evaluate.ladders.records import (
    ContextFigures,
    GrossFigures,
    GrossSummary,
    GroupSummary,
    KindFigures,
    LadderFigures,
    LadderSummary,
)
from dps_train.evaluate.pair_contexts import PairContext
from dps_train.evaluate.pair_target import PairTarget


def context_figures(
    target: PairTarget,
    contexts: Sequence[PairContext],
    climbed: Sequence[Climbed],
    far: Sequence[Far],
) -> list[ContextFigures]:
    """Return the figures of each context."""
    return [_in_context(target, context, row, climbed, far) for row, context in enumerate(contexts)]


def kind_figures(target: PairTarget, climbed: Sequence[Climbed]) -> dict[str, KindFigures]:
    """Return the figures that do not depend on the context, by the name of the kind."""
    found = {}
    for one in climbed:
        kind = one.kind
        column = _column(target, kind)
        direction = error = None
        if column is not None and one.directions is not None and kind.direction:
            direction = right_direction(one.directions[:, column], kind.direction)
        if column is not None and one.strengths is not None and kind.physical:
            error = strength_error(one.strengths[:, column], kind.steps[MEDIUM])
        name = None if column is None else target.part_names[column]
        found[kind.name] = KindFigures(kind.unit, list(kind.steps), name, direction, error)
    return found


def group_summaries(contexts: Sequence[ContextFigures]) -> dict[str, GroupSummary]:
    """Return a summary of each group of contexts, in the order of their first ones."""
    groups: dict[str, list[ContextFigures]] = {}
    for context in contexts:
        groups.setdefault(context.group.value, []).append(context)
    return {name: _summary(some) for name, some in groups.items()}


def _in_context(
    target: PairTarget,
    context: PairContext,
    row: int,
    climbed: Sequence[Climbed],
    far: Sequence[Far],
) -> ContextFigures:
    importances = target.own if context.importances is None else context.importances
    ladders = {one.kind.name: _ladder(target, one, row) for one in climbed}
    gross = {one.gross.name: _gross(target, one, row, climbed, importances or {}) for one in far}
    known = None if importances is None else dict(importances)
    return ContextFigures(context.label, context.group, known, ladders, gross)


def _ladder(target: PairTarget, one: Climbed, row: int) -> LadderFigures:
    distances = one.distances[row]
    orders = order(distances)
    column = _column(target, one.kind)
    share = None
    # Sharpening is no blur: a name counts for its opposite only where the direction says so.
    tells = one.kind.direction >= 0 or one.directions is not None
    if one.parts is not None and column is not None and tells:
        share = float(named(one.parts[row], column))
    return LadderFigures(
        order=float(orders.mean()),
        worst_photograph=float(orders.min()),
        evenness=float(evenness(distances)[1:].max()),
        named=share,
        distances=distances.tolist(),
    )


def _gross(
    target: PairTarget,
    one: Far,
    row: int,
    climbed: Sequence[Climbed],
    importances: Mapping[str, float],
) -> GrossFigures:
    times, beyond = {}, {}
    for ladder in climbed:
        distances = one.middle[row] if ladder.kind.cropped else one.whole[row]
        times[ladder.kind.name] = float(np.median(ratio(distances, ladder.distances[row, :, MILD])))
        beyond[ladder.kind.name] = float((distances > ladder.distances[row, :, THIRD]).mean())
    return GrossFigures(
        distances=one.whole[row].tolist(),
        times_mild=times,
        beyond_third=beyond,
        ranked_above=[
            ladder.kind.name
            for ladder in climbed
            if _ranked_above(importances, ladder.kind, one.gross)
        ],
    )


def _ranked_above(importances: Mapping[str, float], kind: Kind, gross: Gross) -> bool:
    if gross.named_as is None:
        return False
    other = importances.get(OTHER, 0.0)
    return importances.get(kind.named_as or OTHER, other) > importances.get(gross.named_as, other)


def _column(target: PairTarget, kind: Kind) -> int | None:
    names = target.part_names
    return names.index(kind.named_as) if kind.named_as in names else None


def _summary(contexts: Sequence[ContextFigures]) -> GroupSummary:
    ladders = {
        name: _ladder_summary([context.ladders[name] for context in contexts])
        for name in contexts[0].ladders
    }
    shares = [one.named for one in ladders.values() if one.named is not None]
    return GroupSummary(
        contexts=len(contexts),
        order=_mean([one.order for one in ladders.values()]),
        lowest_ladder=min(one.order for one in ladders.values()),
        worst_photograph=min(one.worst_photograph for one in ladders.values()),
        evenness=max(one.evenness for one in ladders.values()),
        named=_mean(shares) if shares else None,
        ladders=ladders,
        gross={
            name: _gross_summary([context.gross[name] for context in contexts])
            for name in contexts[0].gross
        },
    )


def _ladder_summary(figures: Sequence[LadderFigures]) -> LadderSummary:
    shares = [one.named for one in figures if one.named is not None]
    return LadderSummary(
        order=_mean([one.order for one in figures]),
        worst_photograph=min(one.worst_photograph for one in figures),
        evenness=max(one.evenness for one in figures),
        named=_mean(shares) if shares else None,
    )


def _gross_summary(figures: Sequence[GrossFigures]) -> GrossSummary:
    # A context may rank every ladder above a change; then there is nothing to be farther than.
    times = [
        (times, ladder)
        for one in figures
        for ladder, times in one.times_mild.items()
        if ladder not in one.ranked_above
    ]
    lowest, ladder = min(times, default=(None, None))
    return GrossSummary(
        times_mild=lowest,
        ladder=ladder,
        beyond_third=_mean([share for one in figures for share in one.beyond_third.values()]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
