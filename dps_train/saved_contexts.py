"""Saved contexts (`dps_infer.contexts.saved`): side by side, merged, and taken from runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from dps_infer.contexts.ranking import OTHER, Ranking, check_importances
from dps_infer.contexts.saved import DISTORTIONS, SavedContext
from dps_infer.errors import UsageError
from dps_infer.model import embedded
from dps_infer.model.calibration import scores
from dps_infer.model.context_file import read_context_file
from dps_infer.model.manifest import MetricInfo, Scores

if TYPE_CHECKING:
    from dps_train.fit.run_folder import RunManifest


@dataclass(frozen=True)
class Sides:
    """Two contexts side by side.

    Attributes:
        importances: of each context, by name; the largest is 1.
        alike: how many pairs of distortions both order in the same way, or both tie.
        pairs: how many pairs there are; `other` is no distortion.
    """

    importances: tuple[dict[str, float], dict[str, float]]
    alike: int
    pairs: int


def compare(first: SavedContext, second: SavedContext) -> Sides:
    """Put two contexts side by side.

    Raises:
        RankingError: a context is not valid for the distortions of both.
    """
    names = tuple(dict.fromkeys([*first.distortions, *second.distortions]))
    one, two = (_scaled(context.importances_of(names)) for context in (first, second))
    pairs = list(itertools.combinations(names, 2))
    alike = sum(_order(one[a], one[b]) == _order(two[a], two[b]) for a, b in pairs)
    return Sides((one, two), alike, len(pairs))


def merge(
    first: SavedContext, second: SavedContext, *, weight: float, name: str, why: str | None = None
) -> SavedContext:
    """Merge two contexts: the weighted geometric mean of their importances.

    So one that counts 8 times as much to the first and twice as much to the second counts
    4 times as much to an even merge; and what one of them does not count at all, the merge
    does not either.

    Args:
        first: weighs 1 - `weight`.
        second: weighs `weight`.
        weight: in [0, 1].
        name: of the new context.
        why: its reasons; None joins those of the two.

    Returns:
        A context of importances, the largest of which is 1.

    Raises:
        UsageError: the weight is out of range, or the two agree on nothing that counts.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"expected a weight from 0 (all of the first) to 1, got {weight:g}")
    one, two = compare(first, second).importances
    mean = {part: one[part] ** (1 - weight) * two[part] ** weight for part in one}
    names = tuple(part for part in one if part != OTHER)
    if not any(mean.values()):
        raise UsageError(
            f"nothing counts both in {first.name} and in {second.name}, so nothing would in the "
            "merge: raise an importance in one of them"
        )
    importances = check_importances(_scaled(mean), names)
    return SavedContext(
        name=name,
        why=why or f"{first.name}: {first.why}\n{second.name}: {second.why}",
        origin=f"merged from {first.name} and {second.name}, weights {1 - weight:g} and {weight:g}",
        importances=importances,
        figures=package_figures(importances, names),
        distortions=names,
    )


def of_run(manifest: RunManifest, folder: str, *, name: str, why: str) -> SavedContext:
    """Take the context that a run was adapted to.

    Args:
        manifest: of the run.
        folder: its name, for the record.
        name: of the new context.
        why: its reasons.

    Raises:
        UsageError: its metric tells no kinds of change apart, and it was given no ranking.
    """
    metric = manifest.metric
    names = tuple(distortion.name for distortion in metric.distortions)
    ranking = None
    if metric.ranking is not None:
        ranking = tuple(tuple(group) for group in metric.ranking)
    elif metric.amounts == [OTHER]:
        raise UsageError(
            f"{folder} tells no kinds of change apart (variant {metric.variant}), so it has no "
            "importances to save: train it with --variant additive"
        )
    figures = {} if metric.scores is None else _figures(metric.scores)
    if metric.judgements is not None:
        figures["judgements"] = float(metric.judgements.triplets)
    return SavedContext(
        name=name,
        why=why,
        origin=_origin(metric, folder),
        ranking=ranking,
        importances=metric.importances if ranking is None else None,
        figures=figures,
        distortions=names,
    )


def package_figures(
    context: Ranking | Mapping[str, float], distortions: tuple[str, ...] = DISTORTIONS
) -> dict[str, float]:
    """Return the 2AFC scores of the package's universal metric in a context.

    Args:
        context: a ranking, or importances (complete).
        distortions: that the context may name.

    Returns:
        ``baseline``, ``adapted`` and ``ceiling`` (`dps_infer.model.manifest.Scores`); nothing
        where the context orders nothing, or has other distortions than the metric.
    """
    draws = read_context_file(embedded.UNIVERSAL).manifest.draws
    if draws is None or tuple(draws.amounts) != distortions:
        return {}
    found = scores(draws, context)
    return {} if found is None else _figures(found)


def _origin(metric: MetricInfo, folder: str) -> str:
    trained = f"run {folder}: variant {metric.variant}, trained on {metric.training_data.source}"
    if metric.judgements is None:
        return trained
    return f"{trained}, judgements {metric.judgements.source}"


def _figures(found: Scores) -> dict[str, float]:
    return {name: float(value) for name, value in msgspec.structs.asdict(found).items()}


def _scaled(importances: Mapping[str, float]) -> dict[str, float]:
    largest = max(importances.values())
    return {name: value / largest for name, value in importances.items()}


def _order(first: float, second: float) -> int:
    """Return -1, 0 or 1; rounding makes no order."""
    return 0 if math.isclose(first, second) else 1 if first > second else -1
