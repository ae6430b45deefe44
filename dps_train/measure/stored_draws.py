"""Results of a metric for distorted held-out images, as context files store them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.model.manifest import Draws
from dps_train.measure.evaluation_bank import EvaluationBank
from dps_train.model.heads import Head

DIGITS = 5
"""Digits of the stored numbers: more would mean nothing for so few images."""

MOST_IMAGES = 32


@torch.no_grad()
def calibration_quantiles(
    head: Head, bank: EvaluationBank, levels: Sequence[float]
) -> dict[str, list[float]]:
    """Return, per distortion, the quantiles of the distance over draws in the ranges."""
    distances = head(bank.drawn.flatten(0, -2))
    table = torch.nanquantile(
        distances.double().reshape(len(bank.names), -1),
        torch.tensor(levels, dtype=torch.double),
        dim=1,
    )
    return {name: table[:, number].tolist() for number, name in enumerate(bank.names)}


@torch.no_grad()
def reported_draws(head: Head, bank: EvaluationBank) -> Draws | None:
    """Return the amounts of the draws in a bank, for a universal context file.

    `dps_infer.model.calibration` computes calibration and scores of any context from them, image
    by image. So only images that show every distortion count, at most `MOST_IMAGES`; None if
    there is none.
    """
    shown = bank.drawn_amounts.isfinite().all(dim=(0, 1)).nonzero()[:MOST_IMAGES, 0]
    if len(shown) == 0:
        return None
    z = bank.drawn[:, :, shown]

    def by_name(values: Tensor) -> dict[str, list[float]]:
        return {name: _rounded(rows) for name, rows in zip(bank.names, values, strict=True)}

    return Draws(
        images=len(shown),
        per_image=bank.drawn.shape[1],
        amounts={
            name: [_rounded(row) for row in draws.transpose(0, 1).flatten(0, 1)]
            for name, draws in zip(bank.names, head.amounts(z), strict=True)
        },
        true_amounts=by_name(bank.drawn_amounts[:, :, shown].transpose(1, 2).flatten(1)),
        uniform=by_name(head.total(z).transpose(1, 2).flatten(1)),
    )


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
