"""An additive head extended by custom distortions.

The amounts that it read before stay. New layers read the amounts of the custom distortions from
the same z; where they read one, *gates* say how much of each older amount it explains:

    amount_k = older amount_k * (1 - gate_k * e / (e + KNEE)),    e = sum of custom evidence

So where no custom distortion is read, every older amount keeps its exact value, and none is ever
raised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.heads import AdditiveHead

KNEE = 0.05
"""Custom evidence at which the gates have half of their effect."""

HIDDEN = 128

DROPOUT = 0.5
"""Dropout of the new layers in training: there are few kinds of image, and many ways to tell them
apart."""


class ExtendedHead(AdditiveHead):
    """A trained additive head, and custom distortions that it learned later."""

    def __init__(self, older: AdditiveHead, custom: Sequence[str]) -> None:
        super().__init__((*older.names[:-1], *custom, older.names[-1]), older.inputs)
        self.older = older
        # Weight files of runs hold the layers under the names `own` and `gates`.
        self.own = Reader(older.inputs, len(custom))
        self.gates = Reader(older.inputs, len(older.names))
        self.threshold.copy_(older.threshold)
        self.reference.copy_(older.reference)

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return self.older.code(z)

    def read(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        code = self.code(z)
        custom: Tensor = self.own(code)
        evidence = F.relu(custom).sum(dim=-1, keepdim=True)
        explained = torch.sigmoid(self.gates(code)) * (evidence / (evidence + KNEE))
        older = self.older.read(z) * (1 - explained)
        return torch.cat([older[..., :-1], custom, older[..., -1:]], dim=-1)

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return self.older.total(z)

    def custom_evidence(self, z: Tensor) -> Tensor:
        """Return the evidence of custom distortions [..., J], cut off and faded like amounts."""
        return F.relu(self.own(self.code(z))) * self.visible(z)

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round the new layers to half precision, in which a context file stores them."""
        for parameter in (*self.own.parameters(), *self.gates.parameters()):
            parameter.copy_(parameter.half().float())


class Reader(nn.Module):
    """Two layers that read numbers from a code; `dropout` draws what training leaves out."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, HIDDEN)
        self.last = nn.Linear(HIDDEN, outputs)
        self.dropout: torch.Generator | None = None

    def forward(self, code: Tensor) -> Tensor:
        """Return [..., outputs] for a code [..., inputs]."""
        hidden = F.gelu(self.first(F.gelu(code)))
        if self.dropout is not None:
            kept = torch.rand(hidden.shape, generator=self.dropout) >= DROPOUT
            hidden = hidden * kept / (1 - DROPOUT)
        read: Tensor = self.last(hidden)
        return read
