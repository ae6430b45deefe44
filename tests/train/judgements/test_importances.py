"""Importances from judgements: the fit, its intervals, and the choice of the next question."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from train_helpers import seeded

from dps_train.judge.next_question import information_gain
from dps_train.judgements.importances import (
    cross_validated,
    fit_differences,
    fit_importances,
    scaled_differences,
)

TRUE = torch.tensor([0.2, 1.0, 0.05, 0.5])


def judged(count: int, *, wrong: float = 0.0, seed: int = 0):
    """Amounts of both candidates and judgements, of people with the importances `TRUE`."""
    generator = seeded(seed)
    first, second = torch.rand(2, count, len(TRUE), generator=generator)
    judge = first @ TRUE > second @ TRUE
    return first, second, (judge ^ (torch.rand(count, generator=generator) < wrong)).float()


def test_importances_are_found_again():
    fitted = fit_importances(*judged(2000)).importances
    assert max(fitted) == 1
    assert min(fitted) >= 0
    assert fitted == pytest.approx(TRUE.tolist(), abs=0.05)


@pytest.mark.parametrize(("count", "least"), [(20, 0.85), (100, 0.93), (500, 0.96)])
def test_few_judgements_with_wrong_ones_help(count, least):
    first, second, truth = judged(2000, seed=99)
    scores = []
    for seed in range(10):
        mode = torch.tensor(fit_importances(*judged(count, wrong=0.1, seed=seed)).mode).float()
        scores.append(((first @ mode > second @ mode).float() == truth).float().mean())
    assert np.mean(scores) > least


def test_importances_of_judgements_that_say_nothing():
    amounts = torch.ones(10, 3)
    fitted = fit_importances(amounts, amounts, torch.full((10,), 0.5))
    assert fitted.importances == [1.0] * 3
    # Nor is anything known without judgements.
    assert fit_differences(np.zeros((0, 3)), np.zeros(0)).importances == [1.0] * 3


def test_judgements_that_all_agree_leave_importances_finite():
    first, second = torch.eye(2).repeat(500, 1), torch.zeros(1000, 2)
    fitted = fit_importances(first, second, torch.ones(1000))
    assert np.isfinite(fitted.mode).all()
    assert fitted.mode.min() > 0
    assert np.isfinite(fitted.covariance).all()


def test_the_minimum_is_one():
    first, second, judge = judged(50, wrong=0.2)
    order = torch.randperm(50, generator=seeded(3))
    again = fit_importances(second[order], first[order], 1 - judge[order])
    fitted = fit_importances(first, second, judge)
    assert again.mode == pytest.approx(fitted.mode, rel=1e-4)


def test_intervals_hold_the_truth_and_shrink():
    width = {}
    for count in (20, 400):
        held = []
        for seed in range(10):
            fitted = fit_importances(*judged(count, wrong=0.02, seed=seed))
            intervals = fitted.intervals(seeded())
            assert intervals == fitted.intervals(seeded())
            held += [low <= true <= high for true, (low, high) in zip(TRUE, intervals, strict=True)]
        width[count] = np.mean([high - low for low, high in intervals])
        assert np.mean(held) > 0.7
    assert width[400] < width[20] / 2


def test_what_no_judgement_is_about_stays_unknown():
    first, second, judge = judged(300)
    first[:, 2] = second[:, 2] = 0
    low, high = fit_importances(first, second, judge).intervals(seeded())[2]
    assert high - low > 0.5


def test_cross_validation():
    first, second, judge = judged(200)
    groups = [number // 4 for number in range(200)]
    after = cross_validated(first, second, judge, groups, seeded())
    assert after > 0.9
    assert after == cross_validated(first, second, judge, groups, seeded())
    # Answers that follow nothing are predicted no better than by a coin.
    noise = (torch.rand(200, generator=seeded(5)) < 0.5).float()
    assert 0.3 < cross_validated(first, second, noise, groups, seeded()) < 0.62
    assert cross_validated(first, second, judge, [0] * 200, seeded()) > 0.9


def test_a_group_is_left_out_as_a_whole():
    # Two groups contradict each other, so the prediction for the left-out group is always wrong.
    first, second = torch.tensor([[1.0, 0.0]]).repeat(20, 1), torch.tensor([[0.0, 1.0]])
    judge = torch.tensor([0.0, 1.0]).repeat_interleave(10)
    groups = ["a"] * 10 + ["b"] * 10
    assert cross_validated(first, second.repeat(20, 1), judge, groups, seeded()) == 0


def test_what_is_informative():
    fitted = fit_importances(*judged(30))
    samples = fitted.sample(300, seeded())
    first, second, _ = judged(400, seed=8)
    # Nobody doubts that more of everything is farther; a tie tells nothing either.
    first = torch.cat([first, torch.full((1, 4), 2.0), torch.ones(1, 4)])
    second = torch.cat([second, torch.zeros(1, 4), torch.ones(1, 4)])
    gained = information_gain(scaled_differences(first, second), samples)
    assert gained.min() >= -1e-9
    assert gained[-2] == pytest.approx(0, abs=1e-3)
    assert gained[-1] == pytest.approx(0, abs=1e-6)
    assert gained.max() > 10 * max(gained[-2:])
