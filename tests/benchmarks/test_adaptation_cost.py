"""The benchmark of the cost of adapting: its figures follow from the measured times."""

from __future__ import annotations

import pytest

from benchmarks.speed import adaptation_cost


def test_the_figures_follow_from_the_times(measured, images_folder):
    arguments = ("--data", images_folder, "--images", 2, "--batch", 4, "--crops", 2)
    record = measured("adaptation_cost", *arguments)
    assert record.inputs["data"].images == 6
    figures = record.read_figures(adaptation_cost.Figures)
    assert figures.evaluating.triplets == 2 * 15 * 16
    assert figures.training.triplets == 2 * 3 * 15
    # One before each of our six stages, and one after the last.
    assert len(figures.authors_steps) == 7
    middle = sorted(figures.authors_steps)[3]
    assert figures.authors_per_triplet == pytest.approx(middle / 4)
    stages = (
        (figures.evaluating, figures.evaluation_features + figures.evaluation_additive),
        (figures.training, figures.training_features + figures.training_lin),
    )
    for cost, seconds in stages:
        assert cost.seconds == pytest.approx(seconds)
        assert cost.per_triplet == pytest.approx(cost.seconds / (720 * cost.triplets))
        theirs = 10 * figures.authors_per_triplet
        assert cost.ratio == pytest.approx(theirs / cost.per_triplet)
        assert cost.authors_seconds == pytest.approx(720 * cost.triplets * theirs)
        assert cost.ratio > 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2 s"), (5400, "1.5 hours"), (90_000, "1.0 days")]
)
def test_durations(seconds, text):
    assert adaptation_cost.duration(seconds) == text
