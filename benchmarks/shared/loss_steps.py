"""Steps of a training with the loss: forward and backward, on any device."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from dps_train.loss import PerceptualLoss

RANKING = "translate,*,blur"
GENERAL, PRESENCES, EXACT = "general", "a ranking", "a ranking, exact"
MODES = (GENERAL, PRESENCES, EXACT)

NOISE = 25 / 255


def loss_of(mode: str) -> PerceptualLoss:
    """Return the loss of one of `MODES`, reduced to its mean."""
    return PerceptualLoss(ranking=None if mode == GENERAL else RANKING, exact=mode == EXACT)


def image_pair(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy and clean images [N, 3, side, side]: smooth colors with detail."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    clean = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    clean = (clean + 0.1 * torch.rand(clean.shape, generator=generator)).clamp(0, 1)
    return clean + NOISE * torch.randn(clean.shape, generator=generator), clean


def step(loss: PerceptualLoss, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss, and its gradients at both images [2, N, 3, H, W]."""
    both = torch.stack([first, second]).requires_grad_()
    value = loss(*both)
    value.backward()
    assert both.grad is not None
    return value.detach(), both.grad


def seconds_of_step(loss: PerceptualLoss, first: Tensor, second: Tensor) -> float:
    """Return the wall time of a step, with all that the device has to do for it."""
    _wait(first)
    begun = time.perf_counter()
    step(loss, first, second)
    _wait(first)
    return time.perf_counter() - begun


def _wait(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()
