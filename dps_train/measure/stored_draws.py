"""What a metric reports for distorted held-out images, as a universal context file keeps it."""

from __future__ import annotations

import torch
from torch import Tensor

from dps_infer.model.manifest import Draws
from dps_train.measure.evaluation import DRAWS, EvaluationBank
from dps_train.model.heads import AdditiveHead

DIGITS = 5
"""Of the stored numbers: more would say nothing about so few images."""

MOST_IMAGES = 32


@torch.no_grad()
def reported_draws(head: AdditiveHead, bank: EvaluationBank) -> Draws | None:
    """Return what a head reports for the draws of a bank, of its first `MOST_IMAGES` images.

    Calibration and scores of any context follow from it (`dps_infer.model.calibration`), image by
    image. So only images count that show every distortion; None where there is none.
    """
    shown = bank.drawn_amounts.isfinite().all(dim=(0, 1)).nonzero()[:MOST_IMAGES, 0]
    if len(shown) == 0:
        return None
    z = bank.drawn[:, :, shown]
    reported, uniform = head.amounts(z), head.total(z)
    true_amounts = bank.drawn_amounts[:, :, shown]

    def by_name(values: Tensor) -> dict[str, list[float]]:
        return {
            name: [_rounded(value) for value in _rows(values[number]).tolist()]
            for number, name in enumerate(bank.names)
        }

    return Draws(
        images=len(shown),
        per_image=DRAWS,
        amounts={
            name: [[_rounded(value) for value in row] for row in _rows(reported[number]).tolist()]
            for number, name in enumerate(bank.names)
        },
        true_amounts=by_name(true_amounts),
        uniform=by_name(uniform),
    )


def _rows(values: Tensor) -> Tensor:
    """Bring draws [DRAWS, images, ...] into the order of images: [images * DRAWS, ...]."""
    return values.transpose(0, 1).flatten(0, 1)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
