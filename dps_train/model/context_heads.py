"""A head in many contexts at once: columns that it reads from z, times one row of weights each.

Every distance of this toolkit is such a product. The additive head reads amounts, and the
weights are importances; the scalars of `dps_train.fit.lin` weigh the channel distances
themselves; the unadapted metric has one column, its distance, and weight 1 in every context. So
the columns are computed once, and hundreds of contexts are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_train.contexts import importance_table
from dps_train.model.heads import Head, uniform_distance

ROWS_AT_ONCE = 4096
"""Number of z that go through a head at once: it bounds the memory of its layers."""


@dataclass(frozen=True)
class AdaptedHead:
    """A head adapted to R contexts.

    Attributes:
        read: from z [N, D] to columns [N, F] >= 0, which the weights multiply.
        weights: of each context [R, F], >= 0.
        total: from z [N, D] to the unadapted distance [N]; None if it is not known.
        names: of the amounts in the F columns; None if the columns are not amounts.
    """

    read: Callable[[Tensor], Tensor]
    weights: Tensor
    total: Callable[[Tensor], Tensor] | None
    names: tuple[str, ...] | None = None

    def columns(self, z: Tensor) -> Tensor:
        """Return the columns [..., F] of z [..., D]."""
        rows = z.flatten(0, -2).split(ROWS_AT_ONCE)
        return torch.cat([self.read(some) for some in rows]).unflatten(0, z.shape[:-1])


def head_in_contexts(head: Head, contexts: Sequence[Context]) -> AdaptedHead:
    """Return a head in each context; a head that names no kinds keeps its own."""
    if head.names_kinds:
        known = [one.for_distortions(_all_names(head.kind_names, one)) for one in contexts]
        weights = importance_table(known, head.names)
        return AdaptedHead(head.amounts, weights, head.total, head.names)
    return AdaptedHead(head.amounts, head.importances.expand(len(contexts), -1), head.total)


def _all_names(kinds: Sequence[str], context: Context) -> list[str]:
    """Return a head's kinds, and distortions of a context that the head has yet to learn."""
    return [*kinds, *(name for name in context.distortions if name not in kinds)]


def unadapted_in_contexts(head: Head, contexts: Sequence[Context]) -> AdaptedHead:
    """Return the unadapted distance of a head, the same in each context."""
    return AdaptedHead(lambda z: head.total(z)[:, None], torch.ones(len(contexts), 1), head.total)


def scalars_in_contexts(weights: Tensor) -> AdaptedHead:
    """Return the sum of weighted channel distances, weights [R, D] of R contexts."""
    return AdaptedHead(lambda z: z, weights, uniform_distance)


def context_distances(columns: Tensor, weights: Tensor) -> Tensor:
    """Return the distances in every context [R, ...] for columns [..., F] and weights [R, F]."""
    return (weights @ columns.flatten(0, -2).T).unflatten(1, columns.shape[:-1])
