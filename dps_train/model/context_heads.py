"""A head in many contexts at once: what it reads from z, times one row of weights a context.

Every distance of this toolkit is such a product. The additive head reads amounts, and the
weights are importances; the scalars of `dps_train.fit.lin` weigh the channel distances
themselves; the unadapted metric weighs its one distance by 1 in every context. So what is
read is computed once, and hundreds of contexts are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_train.contexts import importance_table
from dps_train.model.heads import AdditiveHead, Head, uniform_distance

ROWS_AT_ONCE = 4096
"""How many z go through a head at once, to bound the memory of its layers."""


@dataclass(frozen=True)
class Adapted:
    """A head adapted to R contexts.

    Attributes:
        read: from z [N, D] to what the weights multiply [N, F], >= 0.
        weights: of each context [R, F], >= 0.
        total: from z [N, D] to the distance [N] without any context; None where that is not
            known.
        names: what each of the F columns is the amount of; None where they are no amounts.
    """

    read: Callable[[Tensor], Tensor]
    weights: Tensor
    total: Callable[[Tensor], Tensor] | None
    names: tuple[str, ...] | None = None

    def columns(self, z: Tensor) -> Tensor:
        """Return what the weights multiply [..., F] for z [..., D]."""
        rows = z.flatten(0, -2).split(ROWS_AT_ONCE)
        return torch.cat([self.read(some) for some in rows]).unflatten(0, z.shape[:-1])


def additive_in(head: AdditiveHead, contexts: Sequence[Context]) -> Adapted:
    """Return an additive head with the importances of each context."""
    weights = importance_table(contexts, head.names)
    return Adapted(head.amounts, weights, head.total, head.names)


def head_in(head: Head, contexts: Sequence[Context]) -> Adapted:
    """Return a head in each context; one that tells no kinds of change apart is in its own."""
    if isinstance(head, AdditiveHead):
        return additive_in(head, contexts)
    return Adapted(head.amounts, head.importances.expand(len(contexts), -1), head.total)


def uniform_in(head: Head, contexts: Sequence[Context]) -> Adapted:
    """Return the unadapted distance of a head's z, the same in each context."""
    return Adapted(lambda z: head.total(z)[:, None], torch.ones(len(contexts), 1), head.total)


def scalars_in(weights: Tensor) -> Adapted:
    """Return the sum of weighted channel distances, weights [R, D] of R contexts."""
    return Adapted(lambda z: z, weights, uniform_distance)


def context_distances(columns: Tensor, weights: Tensor) -> Tensor:
    """Return the distances in every context [R, ...] for columns [..., F] and weights [R, F]."""
    return (weights @ columns.flatten(0, -2).T).unflatten(1, columns.shape[:-1])
