"""Heads that weigh channel distances of a frozen backbone, on pairs at the working size.

The unadapted metric counts all channels alike; the paper's linear head weighs them, for one context
each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dps_train.agreement.distances import Measure, Pixels
from dps_train.agreement.scores.scored_pairs import Floats
from dps_train.evaluate.heads import UNIFORM, lin_comparison
from dps_train.judgements.image_distance import PIXELS_AT_ONCE
from dps_train.model.heads import uniform_distance
from dps_train.model.metric import Metric
from dps_train.model.resizing import resize


def feature_measure(
    metric: Metric,
    lin: dict[str, Tensor],
    *,
    device: torch.device,
) -> Measure:
    """Return the unadapted distance of a backbone's features, and linear heads on them.

    Args:
        metric: its preprocessing and backbone are used, and moved to `device`.
        lin: weights [D] >= 0 of the channel distances of `lin_comparison`, by name.
        device: where the network runs.

    Returns:
        A measure called `UNIFORM`, and by the names of `lin`.
    """
    comparison = lin_comparison()
    preprocess, backbone = metric.preprocess.to(device), metric.backbone.to(device)
    weights = list(lin.values())
    sizes = [preprocess.size]

    def maps(planes: Tensor, size: int | None) -> list[Tensor]:
        return comparison.normalized(backbone(preprocess.normalize(resize(planes, size))))

    @torch.no_grad()
    def distances(reference: Pixels, candidates: Sequence[Pixels]) -> Floats:
        step = max(1, PIXELS_AT_ONCE // (reference.shape[0] * reference.shape[1]))
        first = [maps(_planes([reference], device), size) for size in sizes]
        found = []
        for start in range(0, len(candidates), step):
            second = _planes(candidates[start : start + step], device)
            each = [
                comparison(one, maps(second, size)) for one, size in zip(first, sizes, strict=True)
            ]
            z = torch.stack(each).sum(dim=0).cpu()
            heads = [uniform_distance(z), *(z @ weight for weight in weights)]
            found.append(torch.stack(heads).double().numpy())
        return np.concatenate(found, axis=1)

    return Measure((UNIFORM, *lin), distances)


def _planes(images: Sequence[Pixels], device: torch.device) -> Tensor:
    pixels = torch.from_numpy(np.stack(images)).to(device)
    return pixels.permute(0, 3, 1, 2).float() / 255
