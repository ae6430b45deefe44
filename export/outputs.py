"""The outputs of a context file's graph: a metric with the context as an input."""

from __future__ import annotations

from torch import Tensor, nn

from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.metric import Metric

PLAIN = ("distance", "amounts", "map")
"""Outputs of a metric that tells no kinds of change apart."""

OF_KINDS = ("distance", "size", "amounts", "strengths", "directions", "map", "cells")
"""Outputs of one that does."""


class ExportedMetric(nn.Module):
    """A metric with the context as an input.

    Args:
        metric: the metric; its importances are not used.
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.names = OF_KINDS if isinstance(metric, ChangeMetric) else PLAIN

    def forward(
        self, reference: Tensor, distorted: Tensor, importance: Tensor
    ) -> tuple[Tensor, ...]:
        """Compare images of equal height and width.

        Args:
            reference: uint8 RGB [R, H, W, 3]; R = N, or 1 to compare one image with all.
            distorted: uint8 RGB [N, H, W, 3].
            importance: float [A], of each amount.

        Returns:
            Tensors in the order of `names`: see `dps_infer.model.contract`. The mean of a map over
            the image is the distance.
        """
        if not isinstance(self.metric, ChangeMetric):
            amounts, where = self.metric.read(reference, distorted)
            distance = amounts @ importance
            return distance, amounts, distance[:, None, None] * where
        out = self.metric.outputs(reference, distorted)
        distance = out.amounts @ importance
        shown = distance[:, None, None] * out.places
        size = out.amounts[:, -1]
        return distance, size, out.amounts, out.strengths, out.directions, shown, out.cells
