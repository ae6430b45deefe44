"""Heads: from channel distances z to amounts and one distance.

Every head is >= 0, symmetric (because z is) and exactly 0 where z is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.contexts.ranking import OTHER
from dps_train.distortions.amount_law import amount_of_strength

SMALLEST_SCALE = 1e-6
"""Smallest scale of a channel distance. Features near 1 carry rounding errors of 1e-7, which
dominate below."""

SILENT = 0.05
"""Spread of a channel's logarithm below which it carries only rounding errors: divided by a
smaller one, an error of 1e-7 in a feature becomes one of 1e-5 in an amount."""

OTHER_KNEE = 0.01
"""Share of the reference up to which `other` grows like the unadapted distance, and above which
it grows like its logarithm. So a faint change is not lost beside the amounts of distortions,
which are logarithmic too."""

LEARNING_KNEE = 0.5
"""The knee while the share of `other` is learned: faint changes are hard to tell apart, and should
count little."""

FLOOR = 0.005
"""Share of the plain feature difference that is always added to `other`."""


def uniform_distance(z: Tensor) -> Tensor:
    """Return the unadapted metric's distance [N]: the sum of z [N, D]."""
    return z.sum(dim=-1)


def visibility(total: Tensor, threshold: Tensor) -> Tensor:
    """Fade amounts out where features barely differ: exactly 0 at 0, near 1 above `threshold`."""
    return total / (total + threshold)


class Head(nn.Module):
    """From z to named amounts, and on to one distance = sum of importance_k * amount_k."""

    importances: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("importances", torch.ones(len(names)))

    def total(self, z: Tensor) -> Tensor:
        """Return the unadapted distance [...] of z [..., D]."""
        return uniform_distance(z)

    def amounts(self, z: Tensor) -> Tensor:
        """Return the amounts [..., A] >= 0 of z [..., D]."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> Tensor:
        """Return distances [...] in the current context."""
        return self.amounts(z) @ self.importances


class ScalarHead(Head):
    """The linear calibration of the paper and LPIPS: distance = sum of weight_c * z_c.

    It does not tell kinds of change apart: its one amount, `other`, is the distance. Weights
    are >= 0; with the initial weights of 1 it is the unadapted metric.
    """

    def __init__(self, channels: int) -> None:
        super().__init__((OTHER,))
        self.weights = nn.Parameter(torch.ones(channels))

    def amounts(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return (z @ self.weights)[..., None]

    @torch.no_grad()
    def clamp(self) -> None:
        """Set weights to 0 that a training step made negative."""
        self.weights.clamp_(min=0)


class AdditiveHead(Head):
    """Amounts of each distortion and of `other`; a context only says how much each counts.

    amount_k = relu(evidence_k) * u / (u + threshold), with u the unadapted distance, which
    follows the strength of every kind of change. Evidence of `other` is a share of
    log(1 + u / `OTHER_KNEE`), 1 for a change that no distortion explains: so `other` follows
    kinds of change that training never saw. A small share of log(1 + u / threshold) is added to
    it, so that whatever changes the features changes the distance.

    Subclasses define how shares and u are read from z.

    Args:
        names: of the amounts, `other` last.
        inputs: length of the `code`.
    """

    threshold: Tensor
    reference: Tensor
    layers: nn.Module

    def __init__(self, names: tuple[str, ...], inputs: int) -> None:
        super().__init__(names)
        self.inputs = inputs
        self.register_buffer("threshold", torch.tensor(1.0))
        self.register_buffer("reference", torch.tensor(1.0))

    def code(self, z: Tensor) -> Tensor:
        """Return the input [..., inputs] of the layers, of about unit scale, for z [..., D]."""
        raise NotImplementedError

    def read(self, z: Tensor) -> Tensor:
        """Return amounts [..., K] and the share of `other` [..., 1] as the layers read them."""
        shares: Tensor = self.layers(self.code(z))
        return shares

    def evidence(self, z: Tensor, knee: float = OTHER_KNEE) -> Tensor:
        """Return evidence [..., K + 1] for z [..., D], before it is cut off at 0 and faded."""
        return self.amounts_of(self.read(z), z, knee)

    def amounts_of(self, shares: Tensor, z: Tensor, knee: float = OTHER_KNEE) -> Tensor:
        """Turn the share of `other`, last in [..., K + 1], into its amount in pairs of z."""
        # Detached: what there is to explain must not be learned to fit the share.
        total = self.total(z)[..., None].detach()
        unit = amount_of_strength(total, knee * self.reference, self.reference)
        return torch.cat([shares[..., :-1], shares[..., -1:] * unit], dim=-1)

    def set_importances(self, importances: Mapping[str, float]) -> None:
        """Set the context: one importance >= 0 for each of `names`."""
        self.importances.copy_(torch.tensor([importances[name] for name in self.names]))

    def visible(self, z: Tensor) -> Tensor:
        """Return the factor [..., 1] in [0, 1) that fades amounts out at the faintest changes."""
        return visibility(self.total(z)[..., None], self.threshold)

    def amounts_from(self, evidence: Tensor, z: Tensor) -> Tensor:
        """Return the amounts [..., K + 1] for given evidence."""
        amounts = F.relu(evidence) * self.visible(z)
        total = self.total(z)[..., None]
        floor = FLOOR * amount_of_strength(total, self.threshold, self.reference)
        return torch.cat([amounts[..., :-1], amounts[..., -1:] + floor], dim=-1)

    def amounts(self, z: Tensor) -> Tensor:
        """See `Head`: A = K + 1."""
        return self.amounts_from(self.evidence(z), z)


class ChannelHead(AdditiveHead):
    """An additive head for any backbone: evidence = MLP(log(1 + z / scale))."""

    scale: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, channels: int, names: tuple[str, ...], hidden: int = 256) -> None:
        super().__init__(names, channels)
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

    def fit_scales(self, z: Tensor) -> None:
        """Take the scales of the inputs from typical channel distances [P, D]."""
        self.scale.copy_((0.1 * z.median(dim=0).values).clamp(min=SMALLEST_SCALE))
        typical = torch.log1p(z / self.scale)
        self.center.copy_(typical.mean(dim=0))
        spread = typical.std(dim=0)
        # A channel that is silent in these images must not dominate where it is not.
        self.spread.copy_(torch.where(spread > SILENT, spread, 1))
        self.reference.copy_(uniform_distance(z).median())
        self.threshold.copy_(1e-3 * self.reference)

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return (torch.log1p(z / self.scale) - self.center) / self.spread


class PairHead(AdditiveHead):
    """An additive head for the code of a `dps_train.model.pair_encoder.PairEncoder`.

    z is the unadapted distance, followed by the code.
    """

    HIDDEN = 128
    THRESHOLD = 1e-3
    """In units of the unadapted distance, which training brings to about 1 for typical pairs."""

    def __init__(self, code: int, names: tuple[str, ...]) -> None:
        super().__init__(names, code)
        self.layers = nn.Sequential(
            nn.GELU(), nn.Linear(code, self.HIDDEN), nn.GELU(), nn.Linear(self.HIDDEN, len(names))
        )
        self.threshold.fill_(self.THRESHOLD)

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return z[..., 1:]

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return z[..., 0]
