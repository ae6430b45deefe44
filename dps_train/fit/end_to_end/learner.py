"""The module that end-to-end training optimizes: a metric with its objective."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dps_train.fit.objectives import Objective, agreement, exchange
from dps_train.model.metric import Metric


class Learner(nn.Module):
    """A metric and its objective as one module, which several processes keep synchronized.

    Args:
        metric: the metric whose backbone and head learn.
        objective: for one context.
    """

    def __init__(self, metric: Metric, objective: Objective) -> None:
        super().__init__()
        self.metric = metric
        self.objective = objective

    def forward(
        self,
        reference: Tensor,
        candidates: Tensor,
        pairs: Tensor,
        judge: Tensor,
        exchanged: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the 2AFC score of a batch.

        Args:
            reference: uint8 RGB [N, 3, H, W]; Fabric would convert floats to half precision.
            candidates: uint8 [N, C, 3, H, W].
            pairs: see `dps_train.fit.end_to_end.batches.Batch`.
            judge: see `pairs`.
            exchanged: bool, the triplets whose candidates are exchanged [N * P].
        """
        metric = self.metric
        count, kinds = candidates.shape[:2]
        images = torch.cat([reference, candidates.flatten(0, 1)]).float() / 255
        maps = metric.backbone(metric.preprocess.normalize(images))
        # Distances are differences of nearly equal features, so they need full precision.
        with torch.autocast(images.device.type, enabled=False):
            maps = metric.comparison.normalized([layer.float() for layer in maps])
            z = metric.comparison(
                [layer[:count].repeat_interleave(kinds, dim=0) for layer in maps],
                [layer[count:] for layer in maps],
            )
            distances = metric.head(z).unflatten(0, (count, kinds))
            triplets = exchange(
                distances[:, pairs[:, 0]].flatten()[None],
                distances[:, pairs[:, 1]].flatten()[None],
                judge.float().flatten()[None],
                exchanged,
            )
            counted = torch.ones_like(triplets[0], dtype=torch.bool)
            return self.objective(*triplets, counted), agreement(*triplets, counted)[0]
