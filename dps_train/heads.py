"""Heads: from channel distances z to amounts and one distance.

Every head is >= 0, symmetric (z is) and exactly 0 where z is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_SCALE = 1e-6
"""Of a channel distance. Below it rounding shows: features are near 1 and carry errors of 1e-7."""

FLOOR = 0.005
"""How much of the plain feature difference always shows up in `other`."""


def uniform_distance(z: Tensor) -> Tensor:
    """Return the unadapted metric's distance [N]: the sum of z [N, D]."""
    return z.sum(dim=-1)


def visibility(total: Tensor, threshold: Tensor) -> Tensor:
    """Fade amounts out where features barely differ: exactly 0 at 0, near 1 above `threshold`."""
    return total / (total + threshold)


def log_amount(total: Tensor, threshold: Tensor, reference: Tensor) -> Tensor:
    """Return log(1 + total / threshold), scaled to 1 at `reference`; 0 at 0."""
    return torch.log1p(total / threshold) / torch.log1p(reference / threshold)


class AdditiveHead(nn.Module):
    """Amounts of each distortion and of `other`; a context is only how much each counts.

    amount_k = relu(MLP_k(log(1 + z / scale))) * u / (u + threshold), with u the sum of z.
    `other` has a small share of log(1 + u / threshold) added, so that whatever changes the
    features changes the distance. distance = sum of importance_k * amount_k.

    Args:
        channels: length of z.
        names: of the amounts, `other` last.
        hidden: width of the two hidden layers.
    """

    scale: Tensor
    center: Tensor
    spread: Tensor
    threshold: Tensor
    reference: Tensor
    importances: Tensor

    def __init__(self, channels: int, names: tuple[str, ...], hidden: int = 256) -> None:
        super().__init__()
        self.names = names
        self.hidden = hidden
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, len(names)),
        )
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("center", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("threshold", torch.tensor(1.0))
        self.register_buffer("reference", torch.tensor(1.0))
        self.register_buffer("importances", torch.ones(len(names)))

    def fit_scales(self, z: Tensor) -> None:
        """Take the scales of the inputs from typical channel distances [P, D]."""
        self.follow_scales(z, 1.0)

    def follow_scales(self, z: Tensor, pace: float) -> None:
        """Move the scales some of the way (0 to 1) to those of other channel distances."""
        self.scale.lerp_(0.1 * z.median(dim=0).values, pace).clamp_(min=SMALLEST_SCALE)
        typical = torch.log1p(z / self.scale)
        self.center.lerp_(typical.mean(dim=0), pace)
        self.spread.lerp_(typical.std(dim=0) + 1e-4, pace)
        self.reference.lerp_(uniform_distance(z).median(), pace)
        self.threshold.copy_(1e-3 * self.reference)

    def set_importances(self, importances: Mapping[str, float]) -> None:
        """Set the context: one importance >= 0 for each of `names`."""
        self.importances.copy_(torch.tensor([importances[name] for name in self.names]))

    def evidence(self, z: Tensor) -> Tensor:
        """Return the MLP's output [N, K + 1] before it is cut off at 0 and faded."""
        evidence: Tensor = self.layers((torch.log1p(z / self.scale) - self.center) / self.spread)
        return evidence

    def amounts_from(self, evidence: Tensor, z: Tensor) -> Tensor:
        """Return the amounts [N, K + 1] for given evidence."""
        total = uniform_distance(z)[:, None]
        amounts = F.relu(evidence) * visibility(total, self.threshold)
        floor = FLOOR * log_amount(total, self.threshold, self.reference)
        return torch.cat([amounts[:, :-1], amounts[:, -1:] + floor], dim=1)

    def amounts(self, z: Tensor) -> Tensor:
        """Return the amounts [N, K + 1] >= 0 of channel distances [N, D]."""
        return self.amounts_from(self.evidence(z), z)

    def forward(self, z: Tensor) -> Tensor:
        """Return distances [N] in the context that is set."""
        return self.amounts(z) @ self.importances
