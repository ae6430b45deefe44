"""Heads: from channel distances z to amounts and one distance.

Every head is >= 0, symmetric (z is) and exactly 0 where z is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.contexts.ranking import OTHER

SMALLEST_SCALE = 1e-6
"""Of a channel distance. Below it rounding shows: features are near 1 and carry errors of 1e-7."""

SILENT = 0.05
"""Spread of a channel's logarithm below which it carries nothing but rounding: divided by a smaller
one, an error of 1e-7 in a feature becomes one of 1e-5 in an amount."""

OTHER_KNEE = 0.01
"""Share of the reference up to which `other` grows like the unadapted distance; beyond, like its
logarithm: so a faint change is not lost beside the amounts of distortions, which do as well."""

LEARNING_KNEE = 0.5
"""The same while the share of `other` is learned: what is faint is hard to tell, and should count
little."""

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


class Head(nn.Module):
    """From z to amounts, and from amounts to one distance.

    distance = sum of importance_k * amount_k.

    Args:
        names: of the amounts.
    """

    importances: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("importances", torch.ones(len(names)))

    def total(self, z: Tensor) -> Tensor:
        """Return the unadapted distance [...] of z [..., D]."""
        raise NotImplementedError

    def amounts(self, z: Tensor) -> Tensor:
        """Return the amounts [..., A] >= 0 of z [..., D]."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> Tensor:
        """Return distances [...] in the context that is set."""
        return self.amounts(z) @ self.importances


class ScalarHead(Head):
    """The paper's and LPIPS's linear calibration: distance = sum of weight_c * z_c, weight_c >= 0.

    It tells no kinds of change apart: its one amount, `other`, is the distance. With all
    weights 1, as it begins, it is the unadapted metric.

    Args:
        channels: length of z.
    """

    def __init__(self, channels: int) -> None:
        super().__init__((OTHER,))
        self.weights = nn.Parameter(torch.ones(channels))

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return uniform_distance(z)

    def amounts(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return (z @ self.weights)[..., None]

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring weights that a training step left below 0 back to 0."""
        self.weights.clamp_(min=0)


class AdditiveHead(Head):
    """Amounts of each distortion and of `other`; a context is only how much each counts.

    amount_k = relu(evidence_k) * u / (u + threshold), with u the unadapted distance, which
    follows the strength of every kind of change. Evidence of `other` is a share of
    log(1 + u / `OTHER_KNEE`), 1 for a change that no distortion explains: so `other` follows kinds
    of change that training never saw. A small share of log(1 + u / threshold) is added to
    it, so that whatever changes the features changes the distance.

    How evidence and u are read from z is up to the kinds of head below.

    Args:
        names: of the amounts, `other` last.
    """

    threshold: Tensor
    reference: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.register_buffer("threshold", torch.tensor(1.0))
        self.register_buffer("reference", torch.tensor(1.0))

    @property
    def inputs(self) -> int:
        """Length of what `code` returns."""
        raise NotImplementedError

    def code(self, z: Tensor) -> Tensor:
        """Return what layers read amounts from [..., inputs], of even size, for z [..., D]."""
        raise NotImplementedError

    def read(self, z: Tensor) -> Tensor:
        """Return amounts [..., K] and the share of `other` [..., 1] as they are read from z."""
        raise NotImplementedError

    def evidence(self, z: Tensor, knee: float = OTHER_KNEE) -> Tensor:
        """Return evidence [..., K + 1] for z [..., D], before it is cut off at 0 and faded."""
        return self.amounts_of(self.read(z), z, knee)

    def amounts_of(self, shares: Tensor, z: Tensor, knee: float = OTHER_KNEE) -> Tensor:
        """Turn the share of `other`, last in [..., K + 1], into its amount in pairs of z."""
        # The unit is what there is to explain: it must not be learned to fit the share.
        total = self.total(z)[..., None].detach()
        unit = log_amount(total, knee * self.reference, self.reference)
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
        floor = FLOOR * log_amount(self.total(z)[..., None], self.threshold, self.reference)
        return torch.cat([amounts[..., :-1], amounts[..., -1:] + floor], dim=-1)

    def amounts(self, z: Tensor) -> Tensor:
        """See `Head`: A = K + 1."""
        return self.amounts_from(self.evidence(z), z)


class ChannelHead(AdditiveHead):
    """Read the channel distances of any backbone: evidence = MLP(log(1 + z / scale)).

    Args:
        channels: length of z.
        names: of the amounts, `other` last.
        hidden: width of the two hidden layers.
    """

    scale: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, channels: int, names: tuple[str, ...], hidden: int = 256) -> None:
        super().__init__(names)
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
        # A channel that is silent here, and not in another image, must not shout.
        self.spread.copy_(torch.where(spread > SILENT, spread, 1))
        self.reference.copy_(uniform_distance(z).median())
        self.threshold.copy_(1e-3 * self.reference)

    @property
    def inputs(self) -> int:
        """See `AdditiveHead`."""
        return len(self.scale)

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return (torch.log1p(z / self.scale) - self.center) / self.spread

    def read(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        shares: Tensor = self.layers(self.code(z))
        return shares

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return uniform_distance(z)


class PairHead(AdditiveHead):
    """Read the code of a `dps_train.model.pair_encoder.PairEncoder`.

    Args:
        code: length of the code; z is one longer, the unadapted distance comes first.
        names: of the amounts, `other` last.
    """

    HIDDEN = 128
    THRESHOLD = 1e-3
    """Of the unadapted distance: the encoder is trained to have typical ones near 1."""

    def __init__(self, code: int, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self._code = code
        self.layers = nn.Sequential(
            nn.GELU(), nn.Linear(code, self.HIDDEN), nn.GELU(), nn.Linear(self.HIDDEN, len(names))
        )
        self.threshold.fill_(self.THRESHOLD)

    @property
    def inputs(self) -> int:
        """See `AdditiveHead`."""
        return self._code

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return z[..., 1:]

    def read(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        shares: Tensor = self.layers(self.code(z))
        return shares

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return z[..., 0]
