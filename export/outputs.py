"""The outputs of a context file's graph, and the tensors at which it can be cut."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dps_infer.runtime.bands import CUT
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.cut_points import recorded
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
        shown = distance[:, None, None] * self.metric.places_in(out, importance)
        size = out.amounts[:, -1]
        return distance, size, out.amounts, out.strengths, out.directions, shown, out.cells


class CuttableMetric(nn.Module):
    """An exported metric that gives its cut points as further outputs, to name them in a graph.

    Args:
        exported: the metric.
    """

    def __init__(self, exported: ExportedMetric) -> None:
        super().__init__()
        self.exported = exported

    def forward(
        self, reference: Tensor, distorted: Tensor, importance: Tensor
    ) -> tuple[Tensor, ...]:
        """Compare images; see `ExportedMetric`."""
        with recorded(self.exported) as cuts:
            outputs = self.exported(reference, distorted, importance)
        return (*outputs, *(tensor for tensors in cuts.values() for tensor in tensors))

    def names(self, reference: Tensor, distorted: Tensor, importance: Tensor) -> list[str]:
        """Return the names of all outputs, in their order, by comparing images."""
        with torch.no_grad(), recorded(self.exported) as cuts:
            self.exported(reference, distorted, importance)
        names = list(self.exported.names)
        for name, tensors in cuts.items():
            whose = ("",) if len(tensors) == 1 else (".reference", ".distorted")
            names += [f"{CUT}{name}{image}" for _, image in zip(tensors, whose, strict=True)]
        return names
