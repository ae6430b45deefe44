"""Importances from scores: planted importances are recovered, and folds are really left out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from scores_helpers import scored
from train_helpers import seeded

from dps_train.agreement.importances import fit_to_scores, scored_triplets
from dps_train.judgements.importances import fit_differences

NAMES = ("a", "b", "c")
HIDDEN = np.array([0.1, 1.0, 0.4])


def people(references: int = 8, candidates: int = 15, seed: int = 0):
    """Amounts of changes of three kinds, and scores of people who weigh them by `HIDDEN`."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(references), candidates)
    amounts = rng.gamma(1.0, size=(len(groups), 3))
    # Each reference has its own zero: only candidates of one reference are compared.
    scores = amounts @ HIDDEN + 5 * rng.normal(size=references)[groups]
    return torch.from_numpy(amounts), scored(scores, groups)


def test_every_two_candidates_of_a_reference_are_a_triplet():
    pairs = scored([1, 3, 3, 7, 5], [0, 0, 0, 1, 1], higher=True)
    triplets = scored_triplets(pairs)
    found = {
        (int(first), int(second)): float(judge)
        for first, second, judge in zip(
            triplets.first, triplets.second, triplets.judge, strict=True
        )
    }
    # A higher score is better: the second of 1 and 3 is closer.
    assert found == {(0, 1): 1, (0, 2): 1, (1, 2): 0.5, (3, 4): 0}
    np.testing.assert_allclose(triplets.weights, [1, 1, 1, 2])
    assert triplets.weights.sum() == len(pairs)


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(0)
    differences, judge = rng.normal(size=(20, 3)), rng.integers(0, 2, 20).astype(float)
    weights = rng.integers(0, 4, 20)
    weighted = fit_differences(differences, judge, weights.astype(float))
    repeated = fit_differences(np.repeat(differences, weights, axis=0), np.repeat(judge, weights))
    np.testing.assert_allclose(weighted.mode, repeated.mode, rtol=1e-6)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-6, atol=1e-9)


def test_hidden_importances_are_found_within_their_intervals():
    amounts, pairs = people()
    fitted, agreement = fit_to_scores(amounts, pairs, NAMES, seeded())
    assert np.argsort(fitted.importances).tolist() == [0, 2, 1]
    for name, hidden in zip(NAMES, HIDDEN, strict=True):
        low, high = agreement.intervals[name]
        assert low <= hidden <= high
    assert agreement.within_after > 0.97 > agreement.within_before
    assert agreement.after > agreement.before
    assert (agreement.pairs, agreement.references) == (120, 8)
    assert agreement.triplets == 8 * 15 * 14 / 2
    assert agreement.ceiling == 1


def test_before_is_every_importance_1():
    amounts, pairs = people()
    _, agreement = fit_to_scores(amounts, pairs, NAMES, seeded())
    distances = amounts.sum(dim=1).numpy()
    expected = scipy.stats.spearmanr(pairs.dissimilarity, distances)[0]
    assert agreement.overall_before == pytest.approx(expected)


def test_a_reference_is_measured_by_a_fit_that_never_saw_it():
    # In reference 0 people care for `a`, in reference 1 for `b`: neither helps the other.
    rng = np.random.default_rng(0)
    amounts = rng.gamma(1.0, size=(40, 3))
    groups = np.repeat([0, 1], 20)
    scores = amounts[np.arange(40), groups]
    fitted, agreement = fit_to_scores(
        torch.from_numpy(amounts), scored(scores, groups), NAMES, seeded()
    )
    assert agreement.within_after < 0.3
    # The context itself is fitted to both.
    assert fitted.importances[2] < min(fitted.importances[:2])


def test_the_direction_of_the_scores_does_not_matter():
    amounts, pairs = people()
    negated = scored([-score for score in pairs.scores], pairs.groups, higher=True)
    one, _ = fit_to_scores(amounts, pairs, NAMES, seeded())
    other, _ = fit_to_scores(amounts, negated, NAMES, seeded())
    np.testing.assert_allclose(one.mode, other.mode)
