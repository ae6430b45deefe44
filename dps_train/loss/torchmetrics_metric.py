"""The metric for torchmetrics: mean distance over all batches of an evaluation.

Needs the extra ``torchmetrics``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import Ranking
from dps_train.loss.perceptual_loss import PerceptualLoss


class PerceptualDistance(Metric):
    """The mean distance of pairs of images in a context; 0 = identical, higher = more different.

    It is the distance that ``dps-infer`` measures, of images that need not be rounded to 8 bits.

    Args:
        context: see `PerceptualLoss`, as for the other arguments.
        ranking: kinds of change from the least to the most disruptive.
        importances: how much each kind of change counts.
        value_range: values of black and white.
        settings: of every ``torchmetrics.Metric``.

    Raises:
        DpsError: see `PerceptualLoss`.

    Example:
        >>> distance = PerceptualDistance(ranking="translate,*,blur")
        >>> images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> distance.update(images, images)
        >>> distance.compute().item()
        0.0
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    total: Tensor
    pairs: Tensor

    def __init__(
        self,
        context: str | Context | Path | None = None,
        *,
        ranking: str | Ranking | None = None,
        importances: str | Mapping[str, float] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.distance = PerceptualLoss(
            context,
            ranking=ranking,
            importances=importances,
            value_range=value_range,
            reduction="none",
            exact=True,
        )
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("pairs", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Measure a batch: float RGB [N, 3, H, W] each."""
        distances = self.distance(preds, target)
        self.total = self.total + distances.sum()
        self.pairs = self.pairs + len(distances)

    def compute(self) -> Tensor:
        """Return the mean distance over all pairs so far."""
        return self.total / self.pairs
