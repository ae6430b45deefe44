"""The metric for torchmetrics."""

from __future__ import annotations

import pytest
import torch
from train_helpers import photos

pytest.importorskip("torchmetrics")

from dps_train.loss import PerceptualLoss
from dps_train.loss.torchmetrics_metric import PerceptualDistance


def batch(count: int, seed: int) -> torch.Tensor:
    return photos(count, 48, 64, seed).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def test_it_is_the_mean_over_batches_of_any_size():
    distance = PerceptualDistance(ranking="translate,*,blur")
    first, second = batch(5, 0), batch(5, 9)
    for part in (slice(0, 1), slice(1, 5)):
        distance.update(first[part], second[part])
    expected = PerceptualLoss(ranking="translate,*,blur", exact=True)(first, second)
    torch.testing.assert_close(distance.compute(), expected)
    distance.reset()
    distance.update(first, first)
    assert distance.compute() == 0


@torch.no_grad()
def test_forward_returns_the_batch_and_keeps_the_sum():
    distance = PerceptualDistance("general", value_range=(-1, 1))
    first, second = 2 * batch(2, 0) - 1, 2 * batch(2, 9) - 1
    assert distance(first, second) > 0
    assert distance(first, first) == 0
    assert distance.compute() > 0
    assert distance.pairs == 4


def test_it_has_a_gradient():
    distance = PerceptualDistance()
    first = batch(2, 0).requires_grad_()
    distance(first, batch(2, 9)).backward()
    assert torch.isfinite(first.grad).all()
    assert first.grad.any()
