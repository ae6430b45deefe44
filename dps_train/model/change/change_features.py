"""What a head sees of a change: logarithms, ratios and correlations of the statistics.

The features are computed for both orders of the images. A head reads both: the mean of its two
answers does not depend on the order, and their difference changes its sign with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dps_train.model.change.cell_statistics import SMALLEST, CellStatistics
from dps_train.model.change.half_planes import Extent
from dps_train.model.change.motion import Motion

FEATURES = 89
"""Length of the features of one order."""

MOTION = 14
"""Length of `motion_features`."""

FAINT = 1e-6
"""Energy below which logarithms level off: a thousandth of the range, squared."""

STEP = 2e-3
"""The same for steps at the borders of blocks."""

DAMPING = 2e-5
"""Added to squared gradients before a displacement is solved for."""


def in_cells(statistics: CellStatistics) -> Tensor:
    """Return the features of every cell, in both orders: [N, 2, FEATURES, rows, columns]."""
    return _both_orders(statistics)


def overall(statistics: CellStatistics) -> Tensor:
    """Return the features of the whole images, in both orders: [N, 2, FEATURES]."""
    covered = statistics.covered
    share = covered / covered.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)

    def weighted(values: Tensor) -> Tensor:
        return (values * share).sum(dim=(2, 3), keepdim=True)

    def plain(values: Tensor) -> Tensor:
        return values.mean(dim=(2, 3), keepdim=True)

    s = statistics
    averaged = CellStatistics(
        fine=(plain(s.fine[0]), plain(s.fine[1])),
        fine_products=plain(s.fine_products),
        gradients=(weighted(s.gradients[0]), weighted(s.gradients[1])),
        gradient_products=weighted(s.gradient_products),
        differences=(weighted(s.differences[0]), weighted(s.differences[1])),
        residual=weighted(s.residual),
        colors=(weighted(s.colors[0]), weighted(s.colors[1])),
        color_products=weighted(s.color_products),
        light=weighted(s.light),
        covered=s.covered,
        places=s.places,
    )
    return _both_orders(averaged)[..., 0, 0]


def _both_orders(s: CellStatistics) -> Tensor:
    """Return features of both orders [N, 2, FEATURES, ...], computed as one batch of 2 N."""

    def ordered(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return torch.cat(pair), torch.cat(pair[::-1])

    def doubled(values: Tensor) -> Tensor:
        return torch.cat([values, values])

    fine, gradients, colors = ordered(s.fine), ordered(s.gradients), ordered(s.colors)
    turned = s.color_products.unflatten(1, (3, 3)).transpose(1, 2).flatten(1, 2)
    features = torch.cat(
        [
            _energies(fine[0][:, :3], fine[1][:, :3], doubled(s.fine_products)),
            _artifacts(fine[0][:, 3:], fine[1][:, 3:]),
            _energies(*gradients, doubled(s.gradient_products)),
            _colors(*colors, torch.cat([s.color_products, turned])),
            doubled(_joint(s)),
        ],
        dim=1,
    )
    return features.unflatten(0, (2, -1)).transpose(0, 1)


def _level(energy: Tensor) -> Tensor:
    return torch.log(energy.clamp(min=0) + FAINT) / 2


def _energies(one: Tensor, two: Tensor, products: Tensor) -> Tensor:
    """Describe energies of both images [N, C, ...]: 3 C features."""
    correlation = products / (one * two + FAINT**2).sqrt()
    return torch.cat([_level(one), _level(two) - _level(one), correlation], dim=1)


def _artifacts(one: Tensor, two: Tensor) -> Tensor:
    """Describe squares without detail, and steps at the borders of blocks: 4 features."""
    blocky = [
        torch.log((part[:, 1:2] + STEP) / (part[:, 2:3] + STEP)) for part in (one, two)
    ]
    return torch.cat(
        [one[:, :1], two[:, :1] - one[:, :1], blocky[0], blocky[1] - blocky[0]], dim=1
    )


def _colors(one: Tensor, two: Tensor, products: Tensor) -> Tensor:
    """Describe means and covariances of the planes: 33 features."""
    means = one[:, :3], two[:, :3]

    def outer(first: Tensor, second: Tensor) -> Tensor:
        return (first[:, :, None] * second[:, None]).flatten(1, 2)

    covariances = [part[:, 3:] - outer(mean, mean) for part, mean in zip((one, two), means, strict=True)]
    across = products - outer(*means)
    spreads = [(part[:, (0, 4, 8)].clamp(min=0) + 1e-5).sqrt() for part in covariances]
    light = [torch.log(mean[:, :1].clamp(min=0) + 0.02) for mean in means]
    chroma = [(part[:, 7:8] + part[:, 11:12]).clamp(min=0) for part in (one, two)]
    scale = (chroma[0] * chroma[1] + 1e-10).sqrt()
    within = [
        part[:, (1, 2, 5)] / outer(spread, spread)[:, (1, 2, 5)]
        for part, spread in zip(covariances, spreads, strict=True)
    ]
    return torch.cat(
        [
            4 * means[0],
            4 * (means[1] - means[0]),
            light[0],
            light[1] - light[0],
            spreads[0].log(),
            spreads[1].log() - spreads[0].log(),
            across / outer(*spreads),
            *within,
            _level(chroma[0]),
            _level(chroma[1]) - _level(chroma[0]),
            (products[:, 4:5] + products[:, 8:9]) / scale,
            (products[:, 5:6] - products[:, 7:8]) / scale,
        ],
        dim=1,
    )


def _joint(s: CellStatistics) -> Tensor:
    """Describe what does not depend on the order of the images: 17 features."""
    residual = s.residual
    xx, xy, yy, right, lower = (residual[:, i : i + 1] for i in range(6, 11))
    a, d = xx + DAMPING, yy + DAMPING
    determinant = a * d - xy * xy
    across, down = (d * right - xy * lower) / determinant, (a * lower - xy * right) / determinant
    explained = (right * across + lower * down).clamp(min=0)
    shift = (across.square() + down.square() + 1e-12).sqrt()
    squared = residual[:, 1:2]
    return torch.cat(
        [
            _level(residual[:, :2]),
            _level(residual[:, 2:3].clamp(min=0).sqrt()),
            _level(residual[:, 3:6]),
            _level(s.light),
            _level(s.differences[0] / (s.differences[1] + 1e-4)),
            _level(s.differences[1]),
            torch.log1p(10 * shift),
            _level(explained),
            explained / (squared + FAINT),
        ],
        dim=1,
    )


def motion_features(motion: Motion, extent: Extent) -> Tensor:
    """Describe a motion: [N, MOTION].

    The logarithm of the displacement by turning, shifting, scaling, shearing and bending, in
    pixels and as a share of the side; the share of the difference that the motion does not
    explain, and the logarithms of it and of the difference; and the share of the images that
    both show.
    """
    moved = displacements(motion, extent)
    side = extent.side
    left = (motion.after + FAINT) / (motion.before + FAINT)
    left = left.clamp(max=2)[:, None]
    return torch.cat(
        [
            torch.log(moved + 1e-3),
            torch.log(moved / side + 1e-5),
            left,
            torch.log(left + 1e-3),
            torch.log(motion.before[:, None] + 1e-4),
            motion.inside[:, None],
        ],
        dim=1,
    )


def displacements(motion: Motion, extent: Extent) -> Tensor:
    """Return the root mean square displacement in pixels [N, 5].

    By turning, shifting, scaling, shearing, and by what is not affine.
    """
    half = extent.half
    matrix = motion.matrix * half[:, None] / half[None, :]
    turn = (matrix[:, 1, 0] - matrix[:, 0, 1]) / 2
    scale = (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2
    stretch = (matrix[:, 0, 0] - matrix[:, 1, 1]) / 2
    slant = (matrix[:, 1, 0] + matrix[:, 0, 1]) / 2
    radius = half.square().sum().sqrt() / math.sqrt(3)
    shift = (motion.shift * half).square().sum(dim=1)
    bent = (motion.local * half[:, None, None]).square().sum(dim=1).mean(dim=(1, 2))
    return torch.stack(
        [
            turn.abs() * radius,
            (shift + 1e-18).sqrt(),
            scale.abs() * radius,
            (stretch.square() + slant.square() + 1e-18).sqrt() * radius,
            (bent + 1e-18).sqrt(),
        ],
        dim=1,
    )
