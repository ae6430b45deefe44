"""Statistics of distances: 2AFC, rank correlation, composition and naming.

Inputs may have NaN where an image does not show a distortion; such entries do not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dps_train.distortions.paper import NAMES


def two_afc(distances: Tensor, judged: Tensor) -> Tensor:
    """Return how often the less disruptive of two changes is the closer one.

    Args:
        distances: of V draws of each of K distortions of M images [R, K, V, M], or
            [1, K, V, M] if they are the same in all contexts.
        judged: bool [R, K, K], pairs of (less, more) disruptive.

    Returns:
        [R, K, K] in [0, 1], mean over images and pairs of draws; NaN if not judged, or if no
        image shows both.
    """
    rows, kinds = distances.shape[:2]
    table = torch.full((rows, kinds, kinds), torch.nan)
    for one, other in itertools.combinations(range(kinds), 2):
        first, second = distances[:, one, :, None], distances[:, other, None, :]
        # Whole numbers and halves: the two directions add up to exactly 1.
        count = (first - second).isfinite().sum(dim=(1, 2, 3))
        closer = (first < second).sum(dim=(1, 2, 3)) + 0.5 * (first == second).sum(dim=(1, 2, 3))
        table[:, one, other] = closer / count
        table[:, other, one] = (count - closer) / count
    return torch.where(judged, table, torch.nan)


def spearman(distances: Tensor, dim: int, strengths: Tensor | None = None) -> Tensor:
    """Return the rank correlation of distances with strengths along a dimension.

    Strengths broadcast to distances; by default they rise with the position.

    Returns:
        float64 in [-1, 1], without the dimension; 0 for a constant series, NaN if a value is
        NaN or all strengths are equal.
    """
    if strengths is None:
        shape = [1] * distances.dim()
        shape[dim] = -1
        strengths = torch.arange(distances.shape[dim]).reshape(shape)
    from_last = dim - distances.dim() if dim >= 0 else dim
    ranks, expected = (_ranks(values, from_last) for values in (distances, strengths))
    spread = expected.square().sum(dim=-1)
    norm = torch.sqrt(ranks.square().sum(dim=-1) * spread)
    correlation = (ranks * expected).sum(dim=-1) / torch.where(norm != 0, norm, 1)
    return torch.where(spread > 0, correlation, torch.nan)


def _ranks(values: Tensor, dim: int) -> Tensor:
    """Return twice the ranks about their mean, ties included, with the dimension moved last."""
    # The number of smaller values minus the number of larger ones.
    ranks = torch.zeros(values.shape)
    for number in range(values.shape[dim]):
        ranks += torch.sign(values - values.narrow(dim, number, 1))
    return ranks.movedim(dim, -1).double()


def composition_share(alone: Tensor, composed: Tensor) -> Tensor:
    """Return how often two changes are at least as far as the farther of the two: [R].

    `alone` are distances of single distortions [R, K, M], `composed` those of the second on top of
    the first [R, K, K, M].
    """
    farther = torch.maximum(alone[:, :, None], alone[:, None, :])
    different = ~torch.eye(alone.shape[1], dtype=torch.bool)[:, :, None]
    shown = different & (composed - farther).isfinite()
    kept = (shown & (composed >= farther)).sum(dim=(1, 2, 3))
    return kept.double() / shown.sum(dim=(1, 2, 3))


def named_share(amounts: Tensor, names: Sequence[str] = NAMES) -> dict[str, float]:
    """Return, per distortion, how often its own amount is larger than every other.

    Amounts are of draws of single distortions [K, V, M, K + 1].
    """
    shares = {}
    for number, name in enumerate(names):
        named = amounts[number, ..., number]
        others = amounts[number].clone()
        others[..., number] = -torch.inf
        largest = named > others.amax(dim=-1)
        shares[name] = float(largest[named.isfinite()].double().mean())
    return shares
