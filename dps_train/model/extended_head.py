"""The head of size and presence extended by custom distortions.

New layers read from the same z how probable each custom distortion is; where they read one,
*gates* say how far it explains each kind that the head names already:

    probability_k = older probability_k * (1 - gate_k * largest custom probability)

The same holds of the presence of kinds that some cells show alone. So where no custom distortion is
read, every older amount keeps its value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.change.presence_head import PresenceHead, Reading, SizedHead, presences

HIDDEN = 96

DROPOUT = 0.5
"""Dropout of the new layers in training: there are few kinds of image, and many ways to tell them
apart."""


class ExtendedHead(SizedHead):
    """A trained head, and custom distortions that it learned later.

    Args:
        older: the trained head.
        custom: names of the custom distortions.
    """

    scale: Tensor

    def __init__(self, older: PresenceHead, custom: Sequence[str]) -> None:
        *kinds, other, size = older.names
        super().__init__((*kinds, *custom, other, size))
        self.older, self.custom = older, len(custom)
        self.own = Reader(older.layers.length, len(custom))
        self.gates = Reader(older.layers.length, older.kinds)
        self.register_buffer("scale", torch.ones(len(custom)))
        self.importances[-1] = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the parts of z."""
        return self.older.lengths

    @property
    def scales(self) -> Tensor:
        """See `PresenceHead`."""
        return torch.cat([self.older.scale[:-1], self.scale, self.older.scale[-1:]])

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return self.older.total(z)

    def read(self, z: Tensor) -> Reading:
        """See `PresenceHead`."""
        return self.older.read(z)

    def size(self, z: Tensor, reading: Reading) -> Tensor:
        """See `PresenceHead`."""
        return self.older.size(z, reading)

    def present(self, z: Tensor, reading: Reading) -> Tensor:
        """See `PresenceHead`."""
        custom, unexplained = self.custom_probabilities(z)
        probability = self.probabilities(z, reading)
        in_places = self.older.present_in_places(z, presences(probability)) * unexplained
        older = probability * unexplained
        probability = torch.cat([older[..., :-1], custom, older[..., -1:]], dim=-1)
        return torch.maximum(presences(probability), self.widened(in_places))

    def probabilities(self, z: Tensor, reading: Reading) -> Tensor:
        """See `PresenceHead`: of the kinds that the head names already [..., K]."""
        return self.older.probabilities(z, reading)

    def custom_probabilities(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of custom distortions, and what they leave of older kinds.

        The first are [..., J]; the second is the share of each older kind that they do not
        explain [..., K].
        """
        inputs = self.older.inputs(z)
        custom = torch.sigmoid(self.own(inputs).mean(dim=-2))
        gates = torch.sigmoid(self.gates(inputs).mean(dim=-2))
        return custom, 1 - gates * custom.amax(dim=-1, keepdim=True)

    def widened(self, values: Tensor) -> Tensor:
        """See `PresenceHead`."""
        none = torch.zeros_like(values[..., :1]).expand(*values.shape[:-1], self.custom)
        return torch.cat([values[..., :-1], none, values[..., -1:]], dim=-1)

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round the new layers to half precision, in which a context file stores them."""
        for parameter in (*self.own.parameters(), *self.gates.parameters()):
            parameter.copy_(parameter.half().float())


class Reader(nn.Module):
    """Two layers that read numbers from inputs; `dropout` draws what training leaves out."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, HIDDEN)
        self.last = nn.Linear(HIDDEN, outputs)
        self.dropout: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., outputs] for [..., inputs]."""
        hidden = F.gelu(self.first(inputs))
        if self.dropout is not None:
            kept = torch.rand(hidden.shape, generator=self.dropout) >= DROPOUT
            hidden = hidden * kept / (1 - DROPOUT)
        read: Tensor = self.last(hidden)
        return read
