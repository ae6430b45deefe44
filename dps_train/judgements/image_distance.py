"""Distances of decoded images at their own size, for `dps_train.judgements.scoring`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dps_train.judgements.scoring import DistanceFunction
from dps_train.model.metric import Metric

PIXELS_AT_ONCE = 1 << 19
"""Of the images of one side: it bounds the memory, whatever their size."""

Pixels = NDArray[np.uint8]


def metric_distance(metric: Metric, device: torch.device) -> DistanceFunction:
    """Return a metric's distance, in the context that is set.

    Args:
        metric: is moved to `device`, and put in evaluation mode.
        device: where the network runs.
    """
    metric.to(device).eval()

    @torch.no_grad()
    def distance(reference: Pixels, distorted: Pixels) -> NDArray[np.float32]:
        parts = [
            metric(torch.from_numpy(first).to(device), torch.from_numpy(second).to(device))[0]
            for first, second in in_parts(reference, distorted)
        ]
        return torch.cat(parts).cpu().numpy()

    return distance


def in_parts(reference: Pixels, distorted: Pixels) -> Iterator[tuple[Pixels, Pixels]]:
    """Cut two equally long batches uint8 RGB [N, H, W, 3] so that none has too many pixels."""
    count, height, width, _ = distorted.shape
    step = max(1, PIXELS_AT_ONCE // (height * width))
    for start in range(0, count, step):
        yield reference[start : start + step], distorted[start : start + step]
