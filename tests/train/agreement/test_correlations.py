"""Correlations and their intervals, beside scipy on random data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scores_helpers import scored

from dps_train.agreement.agreement import agreement, resampled_references
from dps_train.agreement.correlations import (
    Kendall,
    Pearson,
    Spearman,
    fitted_curve,
    weighted_ranks,
)

REFERENCES = 6


def data(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People, distances that follow them roughly, and references of 3 to 13 pairs."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(REFERENCES), [3, 5, 7, 9, 11, 13])
    rng.shuffle(groups)
    people = rng.normal(size=len(groups)) + 0.3 * groups
    distances = np.exp(people + rng.normal(size=len(groups)))
    if ties:
        people, distances = people.round(), distances.round()
    return people, distances, groups


def drawn(groups: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Rows of a sample that holds each reference as often as it was drawn."""
    rows = [np.flatnonzero(groups == number) for number in range(REFERENCES)]
    return np.concatenate([rows[i] for i, n in enumerate(count.astype(int)) for _ in range(n)])


CORRELATIONS = (
    (Spearman, scipy.stats.spearmanr),
    (Kendall, scipy.stats.kendalltau),
    (Pearson, scipy.stats.pearsonr),
)


@pytest.mark.parametrize(("ours", "theirs"), CORRELATIONS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_those_of_scipy(ours, theirs, ties, seed):
    people, distances, groups = data(seed, ties=ties)
    correlation = ours(people, distances, groups)
    (overall,) = correlation.overall(np.ones((1, REFERENCES)))
    assert overall == pytest.approx(theirs(people, distances)[0], abs=1e-12)
    for number, value in enumerate(correlation.within()):
        rows = groups == number
        # scipy has no value where either is constant.
        if np.ptp(people[rows]) and np.ptp(distances[rows]):
            assert value == pytest.approx(theirs(people[rows], distances[rows])[0], abs=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), CORRELATIONS)
@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_the_sample_that_it_counts(ours, theirs, ties):
    people, distances, groups = data(3, ties=ties)
    counts = resampled_references(REFERENCES, seed=1, resamples=50)
    found = ours(people, distances, groups).overall(counts)
    for value, count in zip(found, counts, strict=True):
        rows = drawn(groups, count)
        assert value == pytest.approx(theirs(people[rows], distances[rows])[0], abs=1e-12)


def test_resamples_draw_as_many_references_as_there_are_and_follow_the_seed():
    counts = resampled_references(5, seed=0, resamples=4000)
    assert counts.shape == (4000, 5)
    assert (counts.sum(axis=1) == 5).all()
    # The mean of 4000 counts of variance 0.8 is certain to 0.014.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.07)
    np.testing.assert_array_equal(counts, resampled_references(5, seed=0, resamples=4000))
    assert (counts != resampled_references(5, seed=1, resamples=4000)).any()


def test_the_interval_within_references_is_that_of_scipys_bootstrap():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(12), 9)
    people = rng.normal(size=len(groups))
    distances = people + rng.normal(size=len(groups))
    pairs = scored(people, groups)
    ours = agreement(pairs, distances, resampled_references(12, seed=0)).within
    for estimate, correlation in ((ours.spearman, Spearman), (ours.kendall, Kendall)):
        each = correlation(people, distances, groups).within()
        theirs = scipy.stats.bootstrap(
            (each,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
        )
        assert estimate.value == pytest.approx(each.mean())
        # Both ends are quantiles of 2000 means, certain to about a twentieth of the width.
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert estimate.low == pytest.approx(theirs.confidence_interval.low, abs=0.15 * width)
        assert estimate.high == pytest.approx(theirs.confidence_interval.high, abs=0.15 * width)


def test_the_interval_over_all_pairs_is_that_of_scipys_statistic_on_every_resample():
    people, distances, groups = data(7, ties=False)
    counts = resampled_references(REFERENCES, seed=0, resamples=200)
    pairs = scored(people, groups)
    ours = agreement(pairs, distances, counts).overall
    # References are numbered in the order of their first pairs.
    groups = pairs.groups
    theirs = {
        "spearman": [
            scipy.stats.spearmanr(people[r], distances[r])[0] for r in rows(groups, counts)
        ],
        "kendall": [
            scipy.stats.kendalltau(people[r], distances[r])[0] for r in rows(groups, counts)
        ],
    }
    for name, values in theirs.items():
        low, high = np.quantile(values, (0.025, 0.975))
        assert getattr(ours, name).low == pytest.approx(low, abs=1e-12)
        assert getattr(ours, name).high == pytest.approx(high, abs=1e-12)


def rows(groups: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return [drawn(groups, count) for count in counts]


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_weighted_ranks_are_the_average_ranks_of_the_sample(values, weights):
    values = np.array(values, float)
    weights = np.array(weights[: len(values)], float)
    ranks = weighted_ranks(values, weights[None])[0]
    sample = np.repeat(np.arange(len(values)), weights.astype(int))
    np.testing.assert_allclose(ranks[sample], scipy.stats.rankdata(values[sample]))


# --- the sign, and undefined values -----------------------------------------------------


@pytest.mark.parametrize("higher", [True, False])
def test_agreement_is_positive_where_the_metric_agrees_whichever_way_scores_run(higher):
    people, distances, groups = data(0, ties=False)
    scores = -people if higher else people
    counts = resampled_references(REFERENCES, seed=0, resamples=20)
    found = agreement(scored(scores, groups, higher=higher), distances, counts)
    for part in (found.overall, found.within):
        assert min(part.spearman.value, part.kendall.value, part.pearson.value) > 0.2
    against = agreement(scored(-scores, groups, higher=higher), distances, counts)
    for part in (against.overall, against.within):
        assert max(part.spearman.value, part.kendall.value, part.pearson.value) < -0.2


def test_a_metric_that_tells_nothing_apart_agrees_at_0():
    people, _, groups = data(0, ties=False)
    counts = resampled_references(REFERENCES, seed=0, resamples=20)
    found = agreement(scored(people, groups), np.ones(len(people)), counts)
    for part in (found.overall, found.within):
        for estimate in (part.spearman, part.kendall, part.pearson):
            assert estimate.value == estimate.low == estimate.high == 0


def test_references_that_say_nothing_are_left_out_of_the_mean_within():
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    # Reference 1 has two pairs, and the scores of reference 2 are equal.
    people = np.array([1.0, 2, 3, 9, 8, 5, 5, 5])
    for correlation in (Spearman, Kendall, Pearson):
        within = correlation(people, people + 0.5 * (groups == 2), groups).within()
        np.testing.assert_allclose(within, [1, np.nan, np.nan], atol=1e-12)
    counts = resampled_references(3, seed=0, resamples=50)
    found = agreement(scored(people, groups), people, counts)
    assert found.within.spearman.value == found.within.spearman.low == pytest.approx(1)


def test_kinds_are_measured_on_their_own_pairs():
    groups = np.tile([0, 1], 6)
    kinds = "aaaaaabbbbbb"
    people = np.arange(12.0)
    distances = np.where(np.array(list(kinds)) == "a", people, -people)
    found = agreement(
        scored(people, groups, kinds=kinds), distances, resampled_references(2, 0, resamples=20)
    )
    assert list(found.kinds) == ["a", "b"]
    assert found.kinds["a"].spearman.value == pytest.approx(1)
    assert found.kinds["b"].kendall.value == pytest.approx(-1)


def test_a_kind_of_a_single_pair_has_no_figure():
    pairs = scored([1, 2, 3, 4], [0, 0, 1, 1], kinds="aaab")
    found = agreement(pairs, np.arange(4.0), resampled_references(2, 0, resamples=20))
    assert found.kinds["b"].spearman.value is None


# --- the curve --------------------------------------------------------------------------


def test_the_curve_finds_a_logistic_relation_that_is_there():
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 10, 200)
    people = 1 + 4 / (1 + np.exp(-(distances - 6) / 0.7))
    # The data are exact: the remaining error is the optimizer's tolerance. A curve comes without
    # its mean.
    expected = people - people.mean()
    np.testing.assert_allclose(fitted_curve(people, distances), expected, atol=1e-4)
    np.testing.assert_allclose(fitted_curve(-people, distances), expected, atol=1e-4)


def test_the_curve_is_found_though_a_few_distances_are_far_above_all_others():
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.uniform(0, 0.001, 150), rng.uniform(0.1, 2, 20)])
    people = 1 / (1 + np.exp(-(distances - 4e-4) / 1e-4))
    found = np.corrcoef(fitted_curve(people, distances), people)[0, 1]
    assert found == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_curve_does_not_depend_on_the_unit_of_the_distance(scale):
    people, distances, _ = data(1, ties=False)
    # The fit works on standardized distances. Where people see no lower end, the curve's is far
    # below and hardly matters: rounding decides where in a flat valley the fit stops.
    one, other = (fitted_curve(people, distances * unit) for unit in (1, scale))
    assert np.corrcoef(one, people)[0, 1] == pytest.approx(
        np.corrcoef(other, people)[0, 1], abs=1e-4
    )
    np.testing.assert_allclose(one, other, atol=0.05)


def test_pearson_after_the_curve_is_no_less_than_before():
    for seed in range(5):
        people, distances, groups = data(seed, ties=False)
        counts = resampled_references(REFERENCES, seed=0, resamples=2)
        found = agreement(scored(people, groups), distances, counts).overall.pearson.value
        assert found >= scipy.stats.pearsonr(people, distances)[0] - 1e-3
