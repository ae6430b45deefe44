"""Heads: from z to amounts and one distance.

Every head is >= 0, symmetric (because z is) and exactly 0 where z is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.contexts.ranking import OTHER, SIZE
from dps_train.distortions.amount_law import amount_of_strength

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

    @property
    def names_kinds(self) -> bool:
        """Whether it tells kinds of change apart, and so can be in any context."""
        return len(self.names) > 1

    @property
    def kind_names(self) -> list[str]:
        """The names of its amounts but `OTHER` and `SIZE`."""
        return [name for name in self.names if name not in (OTHER, SIZE)]

    def set_importances(self, importances: Mapping[str, float]) -> None:
        """Set the context: one importance >= 0 for each of `names`, 0 where one is missing."""
        self.importances.copy_(torch.tensor([importances.get(name, 0.0) for name in self.names]))

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
        total = self.total(z)[..., None]
        if self.training:
            # What there is to explain must not be learned to fit the share.
            total = total.detach()
        unit = amount_of_strength(total, knee * self.reference, self.reference)
        return torch.cat([shares[..., :-1], shares[..., -1:] * unit], dim=-1)

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
