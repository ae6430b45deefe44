"""What a network reads of two shrunk images, as a code for the head of size and presence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dps_train.model.comparisons import Comparison
from dps_train.model.heads import PairHead
from dps_train.model.metric import Metric
from dps_train.model.pair_encoder import CODE, PairEncoder

LARGEST_AMOUNT = 3.0
SMALLEST_EVIDENCE = -2.0
FAINT = 1e-6


class MapNetwork(nn.Module):
    """The maps of RGB [N, 3, S, S] in [0, 1] that a metric compares."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalize, run the backbone, and normalize its maps."""
        return self.metric.maps(images)


class PairCode(nn.Module):
    """The code of the pair encoder, and the amounts that its own head reads from it."""

    def __init__(self, encoder: PairEncoder, head: PairHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.length = CODE + 3 * len(head.names)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return the code [N, length] of both images' maps."""
        z = self.encoder(first, second)
        amounts = self.head.amounts(z).clamp(0.0, LARGEST_AMOUNT)
        evidence = self.head.evidence(z).clamp(SMALLEST_EVIDENCE, LARGEST_AMOUNT)
        return torch.cat([z[:, 1:], amounts, (amounts + 1e-4).sqrt(), evidence], dim=1)


class ChannelCode(nn.Module):
    """The logarithms of channel distances, for any backbone."""

    def __init__(self, comparison: Comparison, channels: int) -> None:
        super().__init__()
        self.comparison, self.length = comparison, channels

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return the code [N, length] of both images' maps."""
        return torch.log(self.comparison(first, second) + FAINT)
