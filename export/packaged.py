"""The graph inside `dps_infer`, for metrics that differ from the embedded one in the context alone.

To trace a graph takes minutes, and most runs of dps-train change nothing but importances.
"""

from __future__ import annotations

import onnx
import torch

from dps_infer.model import embedded
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric

CONTEXT = "head.importances"
"""What is an input of the graph."""


def packaged_graph(metric: Metric) -> onnx.ModelProto | None:
    """Return the universal graph of the package, without a manifest.

    None if the metric is another one than the embedded metric.
    """
    if type(metric) is not ChangeMetric:
        return None
    own, packaged = metric.cpu().state_dict(), load_universal().state_dict()
    if own.keys() != packaged.keys():
        return None
    if not all(torch.equal(own[name], packaged[name]) for name in own if name != CONTEXT):
        return None
    model = onnx.load(embedded.UNIVERSAL)
    del model.metadata_props[:]
    return model
