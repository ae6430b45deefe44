"""A head that knows more distortions than it was first trained with.

What it read before it goes on to read. Layers of their own read the amounts of the user's own
distortions from the same z; and where they read one, what they call gates says how much of
each older amount that explains:

    amount_k = older amount_k * (1 - gate_k * e / (e + KNEE)),    e = sum of own evidence

So where no own distortion is read, every older amount is to the last digit what it was, and
none is ever raised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.heads import AdditiveHead

KNEE = 0.05
"""Own evidence at which the gates are half in force."""

HIDDEN = 128

DROPOUT = 0.5
"""While the layers are trained: there are few kinds of image, and many ways to tell them apart."""


class ExtendedHead(AdditiveHead):
    """An additive head and what it learned later.

    Args:
        older: an additive head, trained.
        own: names of the distortions that it did not know.
    """

    def __init__(self, older: AdditiveHead, own: Sequence[str]) -> None:
        super().__init__((*older.names[:-1], *own, older.names[-1]))
        self.older = older
        self.own = Reader(older.inputs, len(own))
        self.gates = Reader(older.inputs, len(older.names))
        self.threshold.copy_(older.threshold)
        self.reference.copy_(older.reference)

    @property
    def inputs(self) -> int:
        """See `AdditiveHead`."""
        return self.older.inputs

    def code(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        return self.older.code(z)

    def read(self, z: Tensor) -> Tensor:
        """See `AdditiveHead`."""
        code = self.code(z)
        own: Tensor = self.own(code)
        evidence = F.relu(own).sum(dim=-1, keepdim=True)
        explained = torch.sigmoid(self.gates(code)) * (evidence / (evidence + KNEE))
        older = self.older.read(z) * (1 - explained)
        return torch.cat([older[..., :-1], own, older[..., -1:]], dim=-1)

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return self.older.total(z)

    def own_evidence(self, z: Tensor) -> Tensor:
        """Return the evidence of own distortions [..., J], cut off at 0 and faded like amounts."""
        return F.relu(self.own(self.code(z))) * self.visible(z)

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round what was learned to half precision, in which a context file stores it."""
        for parameter in (*self.own.parameters(), *self.gates.parameters()):
            parameter.copy_(parameter.half().float())


class Reader(nn.Module):
    """Two layers that read numbers from a code.

    Attributes:
        dropping: draws which hidden values are left out, while it is trained; None leaves out none.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, HIDDEN)
        self.last = nn.Linear(HIDDEN, outputs)
        self.dropping: torch.Generator | None = None

    def forward(self, code: Tensor) -> Tensor:
        """Return [..., outputs] for a code [..., inputs]."""
        hidden = F.gelu(self.first(F.gelu(code)))
        if self.dropping is not None:
            kept = torch.rand(hidden.shape, generator=self.dropping) >= DROPOUT
            hidden = hidden * kept / (1 - DROPOUT)
        read: Tensor = self.last(hidden)
        return read
