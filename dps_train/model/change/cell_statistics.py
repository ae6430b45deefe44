"""Statistics of two images in cells of 64 x 64 pixels, after their motion is undone.

Pixels of the images' own resolution are compared where they are; everything coarser is compared
where the motion moved it. Statistics of single images, such as the energy of their detail, come
in pairs; joint ones, such as products of both details, do not depend on the order of the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.model.change.half_planes import Extent, HalfPlanes
from dps_train.model.change.motion import Motion, between_cells
from dps_train.model.change.sampling import sample

CELL = 32
"""Side of a cell in pixels of half the resolution."""

LEVELS = 4
"""Levels of the pyramid, each of half the resolution of the one before; the first has half the
images' own."""

GRADIENT = 3e-3
"""Added to squared gradients before their difference is set in relation to them."""

CHROMA, LUMA = 2e-3, 1e-2
"""The same for squared chroma and luma."""

FLAT = 2e-3
"""Squared gradient at which a place counts half as flat."""

BLOCK = 4
"""Side of a JPEG block in pixels of half the resolution."""

SMALLEST = 1e-6
"""Share of a cell below which it counts as empty."""


Mean = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CellStatistics:
    """Means over the cells; every entry is [N, C, rows, columns].

    Attributes:
        fine: of the images' own resolution, of each image: squared detail of luma, its diagonal,
            and of chroma; the share of squares without any detail; the step across the borders
            of 8 x 8 blocks, and inside of them.
        fine_products: products of both images' detail, as the first three of `fine`.
        gradients: of each image, squared gradients of luma and chroma, level by level.
        gradient_products: products of both images' gradients, in the same order.
        differences: squared relative difference of luma gradients, weighted by the larger
            gradient, and the sum of these weights, level by level.
        residual: joint statistics of the difference; see `_residual`.
        colors: of each image, the mean of each plane and the nine products of planes, at the
            last level but one.
        color_products: products of both images' planes [9].
        light: squared relative difference of coarse luma, and of coarse chroma.
        covered: share of the cell that both images show [1 or N, 1, rows, columns].
        places: difference at each place of a quarter of the resolution [N, 1, h, w], with
            8 x 8 places a cell.
    """

    fine: tuple[Tensor, Tensor]
    fine_products: Tensor
    gradients: tuple[Tensor, Tensor]
    gradient_products: Tensor
    differences: tuple[Tensor, Tensor]
    residual: Tensor
    colors: tuple[Tensor, Tensor]
    color_products: Tensor
    light: Tensor
    covered: Tensor
    places: Tensor


def fine_statistics(planes: HalfPlanes, extent: Extent) -> Tensor:
    """Return `CellStatistics.fine` of one image: [N, 6, rows, columns]."""
    luma, detail = planes.means[:, :1], planes.details
    inside = inside_planes(planes, extent)
    squares = detail.square()
    size = detail[:, :3].abs().sum(dim=1, keepdim=True)
    flat = (1 - 255 * size).clamp(min=0)
    pooled = _masked(torch.cat([squares, flat], dim=1), inside)
    energies = [
        pooled[:, 0:2].sum(dim=1, keepdim=True),
        pooled[:, 2:3],
        pooled[:, 3:9].sum(dim=1, keepdim=True),
    ]
    across = _steps(luma, detail[:, 1:2], inside, down=False)
    down = _steps(luma, detail[:, :1], inside, down=True)
    return torch.cat([*energies, pooled[:, 9:], across + down], dim=1)


def _steps(luma: Tensor, detail: Tensor, inside: Tensor, *, down: bool) -> Tensor:
    """Return the mean step across borders of blocks, and inside of them: [N, 2, rows, columns].

    The mean of two pixels and half of their difference are the pixels themselves.
    """
    before, after = luma - detail / 2, luma + detail / 2
    if down:
        step = F.pad((before[..., :-1, :] - after[..., 1:, :]).abs(), (0, 0, 0, 1))
        place = torch.arange(luma.shape[2], device=luma.device)[:, None]
    else:
        step = F.pad((before[..., :-1] - after[..., 1:]).abs(), (0, 1))
        place = torch.arange(luma.shape[3], device=luma.device)
    border = (place % BLOCK == BLOCK - 1) & (place % CELL != CELL - 1)
    middle = place % BLOCK == BLOCK // 2 - 1
    return torch.cat([_masked(step, inside * at.float()) for at in (border, middle)], dim=1)


def fine_products(first: HalfPlanes, second: HalfPlanes, extent: Extent) -> Tensor:
    """Return `CellStatistics.fine_products`: [N, 3, rows, columns]."""
    pooled = _masked(first.details * second.details, inside_planes(second, extent))
    return torch.cat(
        [
            pooled[:, 0:2].sum(dim=1, keepdim=True),
            pooled[:, 2:3],
            pooled[:, 3:9].sum(dim=1, keepdim=True),
        ],
        dim=1,
    )


def cell_statistics(
    first: HalfPlanes,
    second: HalfPlanes,
    fine: tuple[Tensor, Tensor],
    motion: Motion,
    extent: Extent,
) -> CellStatistics:
    """Compare two images of the same size.

    Args:
        first: of one or N images.
        second: of N images.
        fine: `fine_statistics` of each.
        motion: from the first to the second.
        extent: of the images.
    """
    one, two, valid = _aligned(first.means, second.means, motion, extent)
    # An extra row and column are only there for the gradients of the first level.
    mask = valid[..., :-1, :-1]
    gradients: list[tuple[Tensor, Tensor]] = []
    energies, products, parts, weights = [], [], [], []
    covered = F.avg_pool2d(mask, CELL)
    for level in range(LEVELS):
        side = CELL >> level
        share = F.avg_pool2d(mask, side).clamp(min=SMALLEST)

        def mean(values: Tensor, mask: Tensor = mask, side: int = side, share: Tensor = share) -> Tensor:
            return F.avg_pool2d(values * mask, side) / share

        slopes = [_gradients(planes, last=level == 0) for planes in (one, two)]
        pooled = mean(torch.cat([slopes[0].square(), slopes[1].square(), slopes[0] * slopes[1]], 1))
        sums = [_luma_and_chroma(part) for part in pooled.chunk(3, dim=1)]
        energies.append((sums[0], sums[1]))
        products.append(sums[2])
        lumas = [slope[:, :2] for slope in slopes]
        squares = [luma.square().sum(dim=1, keepdim=True) for luma in lumas]
        apart = (lumas[0] - lumas[1]).square().sum(dim=1, keepdim=True)
        weight = torch.maximum(*squares).sqrt()
        relative = apart / (squares[0] + squares[1] + GRADIENT)
        parts.append(mean(relative * weight))
        weights.append(mean(weight))
        if level == 0:
            one, two = one[..., :-1, :-1], two[..., :-1, :-1]
            residual = _residual(one, two, squares[0] + squares[1], mean)
            places = [relative * weight * mask]
        if level == 1:
            chroma = (one - two)[:, 1:].square().sum(dim=1, keepdim=True) / (
                one[:, 1:].square().sum(dim=1, keepdim=True)
                + two[:, 1:].square().sum(dim=1, keepdim=True)
                + CHROMA
            )
            colored = mean(chroma)
            places.append(chroma * mask)
        if level == 2:
            luma = (one - two)[:, :1].square() / (
                one[:, :1].square() + two[:, :1].square() + LUMA
            )
            lit = mean(luma)
            places.append(luma * mask)
            colors = [torch.cat([mean(planes), mean(_products(planes, planes))], dim=1) for planes in (one, two)]
            color_products = mean(_products(one, two))
        if level < LEVELS - 1:
            one, two = F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)
            mask = (F.avg_pool2d(mask, 2) > 0.99).float()
    return CellStatistics(
        fine=fine,
        fine_products=fine_products(first, second, extent),
        gradients=(torch.cat([e for e, _ in energies], 1), torch.cat([e for _, e in energies], 1)),
        gradient_products=torch.cat(products, 1),
        differences=(torch.cat(parts, 1), torch.cat(weights, 1)),
        residual=residual,
        colors=(colors[0], colors[1]),
        color_products=color_products,
        light=torch.cat([lit, colored], 1),
        covered=covered,
        places=_places(*places),
    )


def _aligned(
    first: Tensor, second: Tensor, motion: Motion, extent: Extent
) -> tuple[Tensor, Tensor, Tensor]:
    """Move both images half of the way towards each other.

    Returns:
        Both images [N, 3, 32 * rows + 1, 32 * columns + 1], and 1 where both show something.
    """
    # Lengths come from positions and stay tensors, so that the graph works for every size.
    down, across = (
        (_cell_positions(line) + 0.5) * 4 / length - 1
        for line, length in ((second[0, 0, :, 0], extent.height), (second[0, 0, 0], extent.width))
    )
    places = torch.stack(
        [across[None, :].expand(down.shape[0], -1), down[:, None].expand(-1, across.shape[0])]
    )
    affine = motion.matrix @ places.flatten(1) + motion.shift[:, :, None]
    local = between_cells(down) @ motion.local @ between_cells(across).T
    flow = affine.unflatten(2, places.shape[1:]) + local
    at = torch.cat([places - flow / 2, places + flow / 2])
    inside = (at.abs().amax(dim=1, keepdim=True) < 1).float()
    rows = (at[:, 1] + 1) * (extent.height / 4) - 0.5
    columns = (at[:, 0] + 1) * (extent.width / 4) - 0.5
    moved = sample(torch.cat([first, second]), rows, columns)
    count = second.shape[0]
    return moved[:count], moved[count:], inside[:count] * inside[count:]


def _cell_positions(line: Tensor) -> Tensor:
    """Return 0, 1, 2 ... for the pixels along a line [L], and one more."""
    return torch.arange(line.shape[0] + 1, device=line.device).float()


def inside_planes(planes: HalfPlanes, extent: Extent) -> Tensor:
    """Return 1 where planes show the image, 0 where its border is repeated: [1, 1, h, w]."""
    down, across = (
        (torch.arange(line.shape[0], device=line.device) < length / 2).float()
        for line, length in (
            (planes.means[0, 0, :, 0], extent.height),
            (planes.means[0, 0, 0], extent.width),
        )
    )
    return (down[:, None] * across)[None, None]


def _gradients(planes: Tensor, *, last: bool) -> Tensor:
    """Return vertical and horizontal gradients of luma, then of chroma: [N, 6, h, w].

    Args:
        planes: [N, 3, h, w], or one row and column more where `last`.
        last: the last row and column are only neighbors.
    """
    if not last:
        planes = F.pad(planes, (0, 1, 0, 1), mode="replicate")
    top = planes[..., :-1, :-1] + planes[..., :-1, 1:], planes[..., :-1, :-1] - planes[..., :-1, 1:]
    bottom = planes[..., 1:, :-1] + planes[..., 1:, 1:], planes[..., 1:, :-1] - planes[..., 1:, 1:]
    down, across = (top[0] - bottom[0]) / 2, (top[1] + bottom[1]) / 2
    return torch.cat([down[:, :1], across[:, :1], down[:, 1:], across[:, 1:]], dim=1)


def _luma_and_chroma(pooled: Tensor) -> Tensor:
    """Add up what belongs to luma and to chroma in pooled products of gradients [N, 6, ...]."""
    return torch.cat(
        [pooled[:, :2].sum(dim=1, keepdim=True), pooled[:, 2:].sum(dim=1, keepdim=True)], dim=1
    )


RESIDUAL = 11
"""Channels of `_residual`."""


def _residual(one: Tensor, two: Tensor, energy: Tensor, mean: Mean) -> Tensor:
    """Describe the difference of aligned images: [N, RESIDUAL, rows, columns].

    Mean absolute, squared and fourth power of the difference of luma; its square in flat places,
    and their share; the squared difference of chroma; and the equations for the displacement that
    remains: products of the mean gradient with itself (3) and with the difference (2).
    """
    difference = one - two
    luma = difference[:, :1]
    squared = luma.square()
    flat = 1 / (1 + energy / FLAT)
    total = (one + two)[:, :1] / 2
    across = F.pad(total[..., 1:] - total[..., :-1], (0, 1))
    down = F.pad(total[..., 1:, :] - total[..., :-1, :], (0, 0, 0, 1))
    values = [
        luma.abs(), squared, squared.square(), squared * flat, flat,
        difference[:, 1:].square().sum(dim=1, keepdim=True),
        across.square(), across * down, down.square(), across * luma, down * luma,
    ]  # fmt: skip
    return mean(torch.cat(values, dim=1))


def _products(one: Tensor, two: Tensor) -> Tensor:
    """Return the products of all pairs of planes: [N, 9, h, w]."""
    return (one[:, :, None] * two[:, None]).flatten(1, 2)


def _places(gradients: Tensor, chroma: Tensor, luma: Tensor) -> Tensor:
    """Return how much each place differs: [N, 1, h, w], each of 8 x 8 pixels."""
    return (F.avg_pool2d(gradients, 4) + F.avg_pool2d(chroma, 2) + luma).sqrt()


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    """Return means over the part of each cell where a mask is 1: [N, C, rows, columns]."""
    return F.avg_pool2d(values * mask, CELL) / F.avg_pool2d(mask, CELL).clamp(min=SMALLEST)
