"""The distance of a metric between decoded images at their own size."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dps_infer.arrays import Floats, Pixels
from dps_train.judgements.scoring import DistanceFunction
from dps_train.model.metric import Metric

PIXELS_AT_ONCE = 1 << 19
"""Pixels of a batch of references, and of one of candidates: it bounds the memory."""


def metric_distance(metric: Metric, device: torch.device) -> DistanceFunction:
    """Return a metric's distance in its current context; the metric moves to `device`."""
    metric.to(device).eval()

    @torch.no_grad()
    def distance(reference: Pixels, distorted: Pixels) -> Floats:
        parts = [
            metric(torch.from_numpy(first).to(device), torch.from_numpy(second).to(device))[0]
            for first, second in bounded_batches(reference, distorted)
        ]
        return torch.cat(parts).cpu().numpy()

    return distance


def bounded_batches(reference: Pixels, distorted: Pixels) -> Iterator[tuple[Pixels, Pixels]]:
    """Split two equally long batches uint8 RGB [N, H, W, 3] by `PIXELS_AT_ONCE`."""
    count, height, width, _ = distorted.shape
    step = max(1, PIXELS_AT_ONCE // (height * width))
    for start in range(0, count, step):
        yield reference[start : start + step], distorted[start : start + step]
