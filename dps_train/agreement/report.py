"""The figures of one evaluation: every metric on every set, and the cost of adapting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dps_train.agreement.adapting_cost import (
    BappsCost,
    Judged,
    ScoresCost,
    bapps_cost,
    scores_cost,
)
from dps_train.agreement.agreement import Agreement, agreement, resampled_references
from dps_train.agreement.distances import Measure, measure_pairs
from dps_train.agreement.heads import NamedHead
from dps_train.agreement.scores.scored_pairs import ScoredPairs
from dps_train.evaluate.heads import UNIFORM
from dps_train.judgements.scoring import BappsScores


@dataclass(frozen=True)
class SetFigures:
    """Agreement on one set of scored pairs.

    Attributes:
        source: name of the set.
        pairs: how many.
        references: how many.
        higher_is_better: direction of the scores.
        metrics: agreement by label, of all metrics but those in random rankings.
        costs: by kind of head, for those in random rankings.
    """

    source: str
    pairs: int
    references: int
    higher_is_better: bool
    metrics: dict[str, Agreement]
    costs: dict[str, ScoresCost]


@dataclass(frozen=True)
class BappsFigures:
    """Agreement on BAPPS; see `SetFigures`."""

    metrics: dict[str, BappsScores]
    costs: dict[str, BappsCost]


@dataclass(frozen=True)
class AgreementReport:
    """Everything that was measured; `docs/json/agreement.schema.json` describes it as JSON.

    Attributes:
        target: the metric.
        seed: of everything random.
        sets: the figures of each set of scored pairs.
        bapps: the figures on BAPPS; None if they were not requested.
    """

    target: str
    seed: int
    sets: list[SetFigures]
    bapps: BappsFigures | None


def set_figures(
    pairs: ScoredPairs, heads: Sequence[NamedHead], measures: Sequence[Measure], seed: int
) -> SetFigures:
    """Measure metrics on a set of scored pairs.

    Args:
        pairs: the set.
        heads: that are among the metrics.
        measures: all metrics.
        seed: of the resamples.

    Raises:
        DpsError: as `measure_pairs`.
    """
    distances = measure_pairs(pairs, measures)
    references = int(pairs.groups.max()) + 1
    counts = resampled_references(references, seed)
    in_rankings = {head.label for head in heads if head.ranking}
    return SetFigures(
        source=pairs.source,
        pairs=len(pairs),
        references=references,
        higher_is_better=pairs.higher_is_better,
        metrics={
            label: agreement(pairs, values, counts)
            for label, values in distances.items()
            if label not in in_rankings
        },
        costs={
            kind: scores_cost(
                pairs,
                distances.get(UNIFORM),
                {head.context: distances[head.label] for head in some},
                counts,
            )
            for kind, some in _by_kind(heads).items()
        },
    )


def bapps_figures(judged: Mapping[NamedHead, Judged]) -> BappsFigures:
    """Return the scores of the heads on BAPPS."""
    (unadapted,) = (one for head, one in judged.items() if head.head == UNIFORM)
    return BappsFigures(
        {head.label: one.scores for head, one in judged.items() if not head.ranking},
        {
            kind: bapps_cost(unadapted, {head.context: judged[head] for head in some})
            for kind, some in _by_kind(list(judged)).items()
        },
    )


def _by_kind(heads: Sequence[NamedHead]) -> dict[str, list[NamedHead]]:
    """Return the heads in random rankings, by kind."""
    kinds: dict[str, list[NamedHead]] = {}
    for head in heads:
        if head.ranking:
            kinds.setdefault(head.head, []).append(head)
    return kinds
