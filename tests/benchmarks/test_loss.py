"""The benchmarks of the loss, with few steps and pairs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.quality import loss
from benchmarks.shared.loss_steps import GENERAL, MODES
from benchmarks.speed import loss_cost
from dps_infer.errors import DpsError


def test_noise_is_removed_and_gradients_are_counted(monkeypatch, measured):
    monkeypatch.setattr(loss, "RATES", (0.01,))
    monkeypatch.setattr(loss, "STEPS", 30)
    record = measured("loss", "--images", 1, "--pairs", 16)
    figures = record.read_figures(loss.Figures)
    assert record.inputs["data"].images == 1
    assert [(one.loss, one.rate) for one in figures.denoised] == [(GENERAL, 0.01)]
    assert figures.denoised[0].gains[0] > 1
    assert [(one.loss, one.pairs, one.not_finite) for one in figures.finite] == [
        (mode, 16, 0) for mode in MODES
    ]


def test_pairs_are_of_every_kind():
    ((first, second),) = loss.hard_pairs(16, 0)
    same = [torch.equal(one, two) for one, two in zip(first, second, strict=True)]
    assert same == [False, False, False, True, False, False, False, False] * 2
    flat = [bool((one == one[:, :1, :1]).all()) for one in first]
    assert flat == [False, True, False, False, False, True, True, False] * 2


def test_gradients_that_are_not_finite_are_counted_and_refused(monkeypatch):
    def broken(mode):
        # The slope of a root at 0 is infinite: the gradient of identical pairs is not finite.
        return lambda one, two: (one - two).square().sum(dim=(1, 2, 3)).sqrt().sum()

    monkeypatch.setattr(loss, "loss_of", broken)
    found = loss.wrong(GENERAL, 16, 0)
    assert found == 2  # the identical pairs
    figures = loss.Figures(
        steps=1, denoised=[], finite=[loss.Finite(loss=GENERAL, pairs=16, not_finite=found)]
    )
    with pytest.raises(DpsError, match="2 of 16 gradients"):
        loss.check(figures)


def test_the_cost_of_a_step(measured):
    figures = measured("loss_cost", "--side", 256).read_figures(loss_cost.Figures)
    assert [one.mode for one in figures.costs] == list(MODES)
    for one in figures.costs:
        assert one.seconds > 0
        assert one.mebibytes > 0
