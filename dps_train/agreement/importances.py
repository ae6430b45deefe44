"""Importances from scores: a context that orders the candidates of each reference as people do.

Two candidates of a reference are a triplet, judged by which has the better score; so the fit is
that of judged triplets (`dps_train.judgements.importances`). N scores give far more than N
triplets, and these depend on each other: each is weighted down, so that those of a reference count
together as many judgements as it has scores, and intervals stay honest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dps_train.agreement.agreement import mean_within
from dps_train.agreement.correlations import Spearman
from dps_train.agreement.scores.scored_pairs import Floats, ScoredPairs
from dps_train.fit.training import ScoresAgreement
from dps_train.judgements.importances import (
    FittedImportances,
    drawn_folds,
    fit_differences,
    scaled_differences,
)
from dps_train.judgements.scoring import two_afc_agreement


@dataclass(frozen=True)
class ScoredTriplets:
    """Every two candidates of each reference.

    Attributes:
        first: row of the one candidate among the pairs [T].
        second: row of the other [T].
        judge: 0 where people find the first closer, 1 where the second, 0.5 for equal scores [T].
        weights: how many judgements each counts as [T]; they add up to the pairs that have another
            candidate beside them.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    judge: Floats
    weights: Floats


def scored_triplets(pairs: ScoredPairs) -> ScoredTriplets:
    """Return every two candidates of each reference as a triplet."""
    people, groups = pairs.dissimilarity, pairs.groups
    first, second, weights = [], [], []
    for number in range(groups.max() + 1):
        rows = np.flatnonzero(groups == number)
        one, other = np.triu_indices(len(rows), k=1)
        first.append(rows[one])
        second.append(rows[other])
        weights.append(np.full(len(one), 2 / max(1, len(rows) - 1)))
    a, b = np.concatenate(first), np.concatenate(second)
    judge = (1 + np.sign(people[a] - people[b])) / 2
    return ScoredTriplets(a, b, judge, np.concatenate(weights))


def fit_to_scores(
    amounts: Tensor, pairs: ScoredPairs, names: tuple[str, ...], generator: torch.Generator
) -> tuple[FittedImportances, ScoresAgreement]:
    """Fit importances to all scores, and measure the agreement with references left out in turn.

    Args:
        amounts: of each pair [N, A].
        pairs: N pairs with their scores.
        names: of the amounts.
        generator: draws which references are left out together, then the intervals.

    Returns:
        The importances, and the agreement before (every importance 1) and after.
    """
    triplets = scored_triplets(pairs)
    differences = scaled_differences(amounts[triplets.first], amounts[triplets.second])
    fitted = fit_differences(differences, triplets.judge, triplets.weights)
    seen = amounts.double().numpy()
    before = seen.sum(axis=1)
    after = np.empty(len(pairs))
    folds = drawn_folds(pairs.groups.tolist(), generator)
    for fold in range(folds.max() + 1):
        kept = folds[triplets.first] != fold
        mode = fit_differences(differences[kept], triplets.judge[kept], triplets.weights[kept]).mode
        distances = seen @ mode
        # Fits differ in scale: over all pairs, distances of different fits must be comparable.
        after[folds == fold] = (distances / distances[folds != fold].mean())[folds == fold]
    intervals = fitted.intervals(generator)
    people, groups = pairs.dissimilarity, pairs.groups
    once = np.ones((1, groups.max() + 1))
    spearmans = [Spearman(people, distances, groups) for distances in (before, after)]
    overall = [float(one.overall(once)[0]) for one in spearmans]
    within = [float(mean_within(one, once)[0]) for one in spearmans]
    shares = [
        two_afc_agreement(one[triplets.first], one[triplets.second], triplets.judge)
        for one in (before, after, people)
    ]
    return fitted, ScoresAgreement(
        before=shares[0],
        after=shares[1],
        ceiling=shares[2],
        triplets=len(triplets.judge),
        cross_validated=True,
        intervals=dict(zip(names, intervals, strict=True)),
        pairs=len(pairs),
        references=int(groups.max()) + 1,
        overall_before=overall[0],
        overall_after=overall[1],
        within_before=within[0],
        within_after=within[1],
    )
