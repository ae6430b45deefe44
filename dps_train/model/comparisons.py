"""Comparisons of the features of one layer, per channel.

Each takes two feature maps [N, C, H, W] and returns one value >= 0 per pair and channel. It is
symmetric, and 0 where the maps are equal. The values of all layers, concatenated, are the
*channel distances* z, the only input of a head.

Source: Pihlgren et al. 2024, section 3; LPIPS (Zhang et al. 2018) for `spatial`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model import names

LAYOUT_CELLS = 4
"""Cells along each side of the grid of `layout`."""

SMALLEST_SQUARE = 1e-8
"""Lower bound of the squared channel norm, so that an all-zero position has a value and a gradient.

A bound rather than a term that is added: onnxscript's optimizer treats a term of 1e-8 as 0 and
drops it, and the exported graph would divide 0 by 0.
"""


def unit_normalize(features: Tensor) -> Tensor:
    """Scale the channel vector at each position of [N, C, H, W] to unit length, or leave it 0."""
    # Flattened: else onnxruntime multiplies in the memory layout of its convolutions, and then
    # reorders both the features and their squares.
    flat = features.flatten(2)
    squares = flat.square().sum(dim=1, keepdim=True)
    unit = flat * squares.clamp(min=SMALLEST_SQUARE).rsqrt()
    return unit.unflatten(2, features.shape[2:])


def spatial(first: Tensor, second: Tensor) -> Tensor:
    """Mean over positions of the squared difference at the same position: [N, C]."""
    return (first - second).square().mean(dim=(2, 3))


def mean(first: Tensor, second: Tensor) -> Tensor:
    """Squared difference of the means over positions: [N, C]."""
    return (first - second).mean(dim=(2, 3)).square()


def sort(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of the activations sorted over positions: [N, C]."""
    ordered_first = first.flatten(2).sort(dim=2, descending=True).values
    ordered_second = second.flatten(2).sort(dim=2, descending=True).values
    return (ordered_first - ordered_second).square().mean(dim=2)


def layout(first: Tensor, second: Tensor) -> Tensor:
    """Squared difference summed over channels, on a coarse grid: [N, `LAYOUT_CELLS`²].

    A shift differs everywhere, a rotation or an enlargement more towards the edges.
    """
    return _pooled((first - second).square().sum(dim=1, keepdim=True), LAYOUT_CELLS).flatten(1)


COMPARISONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    zip(names.COMPARISONS, (spatial, mean, sort, layout), strict=True)
)


class PairComparison(nn.Module):
    """Turn the maps of two images into z; the base of every comparison.

    Attributes:
        name: for manifests.
        channel_norm: whether features are unit-normalized over channels first.
    """

    name: str
    channel_norm: bool

    def normalized(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return a network's maps of images as `forward` expects them."""
        raise NotImplementedError

    def difference_map(self, first: list[Tensor], second: list[Tensor], cells: int) -> Tensor:
        """See `difference_map`."""
        raise NotImplementedError


class Comparison(PairComparison):
    """Turn two lists of feature maps into channel distances.

    Args:
        name: one or more of `COMPARISONS`, joined by ``+``.
        channel_norm: unit-normalize the features over channels first.
    """

    def __init__(self, name: str = "spatial+mean", *, channel_norm: bool = True) -> None:
        super().__init__()
        unknown = [part for part in name.split("+") if part not in COMPARISONS]
        if unknown:
            raise ValueError(
                f"unknown comparison {unknown[0]!r}: expected {', '.join(COMPARISONS)}, "
                "or several joined by +"
            )
        self.name = name
        self.channel_norm = channel_norm
        self._functions = [COMPARISONS[part] for part in name.split("+")]

    def normalized(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return feature maps as `forward` expects them, unit-normalized if `channel_norm`."""
        return [unit_normalize(layer) if self.channel_norm else layer for layer in maps]

    def difference_map(self, first: list[Tensor], second: list[Tensor], cells: int) -> Tensor:
        """See `difference_map`."""
        return difference_map(first, second, cells)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return z [N, D] of maps [N, C, H, W] from `normalized`, one per layer.

        D is the sum of the layers' channels over layers and comparisons.
        """
        return torch.cat(
            [
                function(layer, other)
                for layer, other in zip(first, second, strict=True)
                for function in self._functions
            ],
            dim=1,
        )


def difference_map(first: Sequence[Tensor], second: Sequence[Tensor], cells: int) -> Tensor:
    """Return how much maps [N, C, H, W] differ in each cell of a grid: [N, cells, cells], >= 0.

    Neighborhoods are those of an antialiased resize to the grid; all layers count equally.
    """
    layers = [
        _pooled((a - b).square().mean(dim=1, keepdim=True), cells)
        for a, b in zip(first, second, strict=True)
    ]
    return torch.cat(layers, dim=1).sum(dim=1)


def _pooled(maps: Tensor, cells: int) -> Tensor:
    return F.interpolate(
        maps, size=(cells, cells), mode="bilinear", antialias=True, align_corners=False
    )
