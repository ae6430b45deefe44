"""The benchmark of what adapting costs: it runs, and its figures follow from one another."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_figures_follow_from_what_was_timed(cli, images_folder, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    arguments = ("--data", images_folder, "--images", 2, "--batch", 4, "--crops", 2, "--json")
    outcome = cli(*arguments, module="benchmarks.adaptation_cost")
    assert outcome.code == 0, outcome.err
    report = outcome.record
    evaluating, training = report["evaluating"], report["training"]
    assert evaluating["triplets"] == 2 * 15 * 16
    assert training["triplets"] == 2 * 3 * 15
    for cost, parts in (
        (evaluating, ("evaluation_features", "evaluation_additive")),
        (training, ("training_features", "training_lin")),
    ):
        assert cost["seconds"] == pytest.approx(sum(report[part] for part in parts))
        assert cost["per_triplet"] == pytest.approx(cost["seconds"] / (720 * cost["triplets"]))
        theirs = 10 * report["authors_per_triplet"]
        assert cost["ratio"] == pytest.approx(theirs / cost["per_triplet"])
        assert cost["authors_seconds"] == pytest.approx(720 * cost["triplets"] * theirs)
        assert cost["ratio"] > 1
