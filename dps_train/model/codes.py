"""What a network reads of two shrunk images, as a code for the head of size and presence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dps_train.model.comparisons import Comparison
from dps_train.model.heads import PairHead, uniform_distance
from dps_train.model.pair_encoder import CODE, NAME, PairEncoder

LARGEST_AMOUNT = 3.0
SMALLEST_EVIDENCE = -2.0
FAINT = 1e-6


class PairCode(nn.Module):
    """The code of the pair encoder, and the amounts that its own head reads from it."""

    name = NAME
    channel_norm = False

    def __init__(self, encoder: PairEncoder, head: PairHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.length = CODE + 3 * len(head.names)

    def normalized(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """See `PairEncoder`."""
        return self.encoder.normalized(maps)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the unadapted distance [N] and the code [N, length] of both images' maps."""
        z = self.encoder(first, second)
        amounts = self.head.amounts(z).clamp(0.0, LARGEST_AMOUNT)
        evidence = self.head.evidence(z).clamp(SMALLEST_EVIDENCE, LARGEST_AMOUNT)
        return z[:, 0], torch.cat([z[:, 1:], amounts, (amounts + 1e-4).sqrt(), evidence], dim=1)


class ChannelCode(nn.Module):
    """The logarithms of channel distances, for any backbone.

    Args:
        comparison: of the maps.
        channels: number of channel distances.
    """

    def __init__(self, comparison: Comparison, channels: int) -> None:
        super().__init__()
        self.comparison, self.length = comparison, channels
        self.name, self.channel_norm = comparison.name, comparison.channel_norm

    def normalized(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """See `Comparison`."""
        return self.comparison.normalized(maps)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the unadapted distance [N] and the code [N, length] of both images' maps."""
        z = self.comparison(first, second)
        return uniform_distance(z), torch.log(z + FAINT)
