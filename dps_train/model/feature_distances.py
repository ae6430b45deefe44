"""Channel distances of many pairs, computed once for every context.

With a frozen backbone the channel distances z of a pair depend neither on the context nor on the
head. So the network runs once per image, and all training and measuring happens on z.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dps_train.model.metric import Metric


class FeatureDistances:
    """A metric's frozen network and comparison: images in, channel distances z out.

    Images come at the working size. The network runs on `device`; results come back to the CPU.
    """

    def __init__(self, metric: Metric, device: torch.device) -> None:
        self.metric = metric.to(device)
        self.device = device

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of float RGB images [N, 3, size, size] in [0, 1], on the device."""
        return self.metric.maps(images.to(self.device))

    @torch.no_grad()
    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return z [N, D] of references' maps and changed images, on the CPU."""
        z: Tensor = self.metric.comparison(reference, self.maps(changed))
        return z.cpu()
