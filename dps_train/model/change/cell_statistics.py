"""Statistics of two images in cells of 64 x 64 pixels, after their motion is undone.

Pixels of the images' own resolution are compared where they are; everything coarser is compared
where the motion moved it. Statistics of single images, such as the energy of their detail, come
in pairs; joint ones, such as products of both details, do not depend on the order of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.change.cut_points import CutPoints
from dps_train.model.change.half_planes import Extent, HalfPlanes
from dps_train.model.change.motion import Motion, between_cells
from dps_train.model.change.powers import root
from dps_train.model.change.sampling import neighborhoods, sample

CELL = 32
"""Side of a cell in pixels of half the resolution."""

LEVELS = 4
"""Levels of the pyramid, each of half the resolution of the one before; the first has half the
images' own."""

GRADIENT = 3e-3
"""Added to squared gradients before their difference is set in relation to them."""

CHROMA, LUMA = 2e-3, 1e-2
"""The same for squared chroma and luma."""

INVISIBLE_GRADIENT, INVISIBLE_CHROMA, INVISIBLE_LUMA = 3e-6, 6e-7, 1e-7
"""Squared differences that do not count, as they come from noise of half a gray level."""

FAINT_PLACE = 1e-5
"""Difference of a place below which its root levels off."""

FLAT = 2e-3
"""Squared gradient at which a place counts half as flat."""

BLOCK = 4
"""Side of a JPEG block in pixels of half the resolution."""

OWN = [4 * level + part for level in range(LEVELS) for part in (0, 1)]
OTHERS = [4 * level + part for level in range(LEVELS) for part in (2, 3)]
"""Channels of the first and of the second image's energies, of all levels."""

SMALLEST = 1e-6
"""Share of a cell below which it counts as empty."""


@dataclass(frozen=True)
class CellStatistics:
    """Means over the cells; every entry is [N, C, rows, columns].

    Attributes:
        fine: of the images' own resolution, of each image: squared detail of luma, its diagonal,
            and of chroma; the share of squares without any detail; the step across the borders
            of 8 x 8 blocks, and inside of them.
        fine_products: products of both images' detail, as the first three of `fine`.
        plain: mean absolute difference of means, plus that of details [N, 1, rows, columns]. They
            are compared where they are, and the repeated border counts.
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
    plain: Tensor
    gradients: tuple[Tensor, Tensor]
    gradient_products: Tensor
    differences: tuple[Tensor, Tensor]
    residual: Tensor
    colors: tuple[Tensor, Tensor]
    color_products: Tensor
    light: Tensor
    covered: Tensor
    places: Tensor


class CellStatisticsOf(nn.Module):
    """Compute the statistics with few operators: constant kernels, and one pooling a level."""

    gradient: Tensor
    sums: Tensor
    luma: Tensor
    fine_sums: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        down, across = [[0.5, 0.5], [-0.5, -0.5]], [[0.5, -0.5], [0.5, -0.5]]
        gradient = torch.zeros(6, 3, 2, 2)
        for number, (kernel, plane) in enumerate(
            ((down, 0), (across, 0), (down, 1), (down, 2), (across, 1), (across, 2))
        ):
            gradient[number, plane] = torch.tensor(kernel)
        self.register_buffer("gradient", gradient, persistent=False)
        # Luma and chroma of the squares of both images, and of their products.
        sums = torch.zeros(6, 20)
        for part in range(3):
            sums[2 * part, 6 * part : 6 * part + 2] = 1
            sums[2 * part + 1, 6 * part + 2 : 6 * part + 6] = 1
        self.register_buffer("sums", sums[:, :, None, None], persistent=False)
        # Of luma's gradients: squares of both images, and of their difference.
        luma = torch.zeros(3, 20)
        luma[0, 0:2] = luma[1, 6:8] = luma[2, 18:20] = 1
        self.register_buffer("luma", luma[:, :, None, None], persistent=False)
        fine = torch.zeros(3, 9)
        fine[0, 0:2], fine[1, 2], fine[2, 3:9] = 1, 1, 1
        self.register_buffer("fine_sums", fine[:, :, None, None], persistent=False)
        steps = torch.zeros(2, 2, 2, 2)
        # Luma and the detail across a step: a mean minus half of the difference is the pixel
        # before the step, and plus half of it the pixel behind.
        steps[0, :, 0, 0], steps[0, :, 0, 1] = torch.tensor([1.0, -0.5]), torch.tensor([-1.0, -0.5])
        steps[1, :, 0, 0], steps[1, :, 1, 0] = torch.tensor([1.0, -0.5]), torch.tensor([-1.0, -0.5])
        self.register_buffer("steps", steps, persistent=False)
        self.cut = CutPoints()

    def fine(self, planes: HalfPlanes, masks: Masks) -> Tensor:
        """Return `CellStatistics.fine` of one image: [N, 6, rows, columns]."""
        luma, detail = planes.means[:, :1], planes.details
        size = detail[:, :3].abs().sum(dim=1, keepdim=True)
        flat = (1 - 255 * size).clamp(min=0)
        energies = F.conv2d(detail.square(), self.fine_sums)
        wide = F.pad(torch.cat([luma, detail[:, :2]], dim=1), (0, 1, 0, 1), mode="replicate")
        across = F.conv2d(wide[:, ::2], self.steps[:1]).abs()
        down = F.conv2d(wide[:, :2], self.steps[1:]).abs()
        pooled = F.avg_pool2d(torch.cat([energies, flat], dim=1) * masks.inside, CELL)
        steps = torch.cat([across, across, down, down], dim=1) * masks.steps
        stepped = F.avg_pool2d(steps, CELL) / masks.step_shares
        return torch.cat([pooled / masks.inside_share, stepped[:, :2] + stepped[:, 2:]], dim=1)

    def forward(
        self,
        first: HalfPlanes,
        second: HalfPlanes,
        fine: tuple[Tensor, Tensor],
        masks: Masks,
        motion: Motion,
        extent: Extent,
    ) -> CellStatistics:
        """Compare two images of the same size.

        Args:
            first: of N images.
            second: of N images.
            fine: `fine` of each.
            masks: `masks_of` them.
            motion: from the first to the second.
            extent: of the images.
        """
        fine_products = F.conv2d(first.details * second.details, self.fine_sums) * masks.inside
        fine_products = F.avg_pool2d(fine_products, CELL) / masks.inside_share
        plain = _plain(first.means, second.means) + _plain(first.details, second.details)
        one, two, valid = self._aligned(first.means, second.means, motion, extent)
        # An extra row and column are only there for the gradients of the first level.
        mask = valid[..., :-1, :-1]
        first_inner, second_inner = one[..., :-1, :-1], two[..., :-1, :-1]
        pooled = []
        shares = []
        for level in range(LEVELS):
            if level:
                mask = F.relu(4 * F.avg_pool2d(mask, 2) - 3)  # 1 where all four are 1
                first_inner, second_inner = (
                    F.avg_pool2d(first_inner, 2),
                    F.avg_pool2d(second_inner, 2),
                )
                one, two = (
                    F.pad(part, (0, 1, 0, 1), mode="replicate")
                    for part in (first_inner, second_inner)
                )
            rise, other = F.conv2d(one, self.gradient), F.conv2d(two, self.gradient)
            apart = (rise - other)[:, :2].square()
            squares = torch.cat([rise.square(), other.square(), rise * other, apart], dim=1)
            luma = F.conv2d(squares, self.luma)
            weight = root(luma[:, :2].amax(dim=1, keepdim=True))
            energy = luma[:, :2].sum(dim=1, keepdim=True)
            apart = F.relu(luma[:, 2:] - INVISIBLE_GRADIENT)
            relative = apart * weight / (energy + GRADIENT)
            values = [F.conv2d(squares, self.sums), relative, weight]
            if level == 0:
                values += _residual(first_inner, second_inner, energy)
                gradients = relative * mask
            if level == 1:
                chroma = _relative(
                    first_inner[:, 1:], second_inner[:, 1:], CHROMA, INVISIBLE_CHROMA
                )
                values.append(chroma)
                chroma = chroma * mask
            if level == 2:
                lit = _relative(first_inner[:, :1], second_inner[:, :1], LUMA, INVISIBLE_LUMA)
                values += [lit, first_inner, second_inner]
                values += [
                    _products(first_inner, first_inner),
                    _products(second_inner, second_inner),
                    _products(first_inner, second_inner),
                ]
                lit = lit * mask
            side = CELL >> level
            share = F.avg_pool2d(mask, side)
            shares.append(share)
            means = F.avg_pool2d(torch.cat(values, dim=1) * mask, side)
            pooled.append(self.cut(f"level{level}", means / share.clamp(min=SMALLEST)))
        energies, products, parts, weights = (
            torch.cat([level[:, start:stop] for level in pooled], dim=1)
            for start, stop in ((0, 4), (4, 6), (6, 7), (7, 8))
        )
        colors = pooled[2][:, 9:]
        places = _root(F.avg_pool2d(gradients, 4) + F.avg_pool2d(chroma, 2) + lit)
        return CellStatistics(
            fine=fine,
            fine_products=self.cut("fine_products", fine_products),
            plain=self.cut("plain", plain),
            gradients=(energies[:, OWN], energies[:, OTHERS]),
            gradient_products=products,
            differences=(parts, weights),
            residual=pooled[0][:, 8:],
            colors=(
                torch.cat([colors[:, :3], colors[:, 6:15]], dim=1),
                torch.cat([colors[:, 3:6], colors[:, 15:24]], dim=1),
            ),
            color_products=colors[:, 24:],
            light=torch.cat([pooled[2][:, 8:9], pooled[1][:, 8:9]], dim=1),
            covered=self.cut("covered", shares[0]),
            places=self.cut("places", places),
        )

    def _aligned(
        self, first: Tensor, second: Tensor, motion: Motion, extent: Extent
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move both images half of the way towards each other.

        Places follow from the positions `down` and `across` alone, and nothing below depends on
        how many there are: a part of the rows can be computed from a part of `down`.

        Returns:
            Both images [N, 3, 32 * rows + 1, 32 * columns + 1], and 1 where both show something,
            0 where one of them does not.
        """
        # Lengths come from positions and stay tensors, so that the graph works for every size.
        lines = second[0, 0, :, 0], second[0, 0, 0]
        down = self.cut("down", (_cell_positions(lines[0]) + 0.5) * 4 / extent.height - 1)
        across = self.cut("across", (_cell_positions(lines[1]) + 0.5) * 4 / extent.width - 1)
        half = self.cut("half", extent.half)
        matrix, shift = motion.matrix[:, :, :, None, None], motion.shift[:, :, None, None]
        affine = matrix[:, :, 0] * across + (matrix[:, :, 1] * down[:, None] + shift)
        local = between_cells(down) @ motion.local @ between_cells(across).T
        way = (affine + local) / 2
        at = torch.cat(
            [
                torch.stack([across - way[:, 0], down[:, None] - way[:, 1]], dim=1),
                torch.stack([across + way[:, 0], down[:, None] + way[:, 1]], dim=1),
            ]
        )
        # Fades out over the last half pixel: rounding errors must not decide what counts.
        inside = ((1 - at.abs()) * half[:, None, None]).clamp(0, 1).amin(dim=1, keepdim=True)
        count = second.shape[0]
        shown = self.cut("shown", inside[:count] * inside[count:])
        pixels = self.cut("pixels", (at + 1) * (half / 2)[:, None, None] - 0.5)
        lengths = [
            torch.arange(1, line.shape[0] + 1, device=line.device)[-1].float() for line in lines
        ]
        moved = sample(neighborhoods(torch.cat([first, second])), pixels, *lengths)
        return moved[:count], moved[count:], shown


@dataclass(frozen=True)
class Masks:
    """Where the planes of images of one extent show something.

    Attributes:
        inside: 0 where the border is repeated [1, 1, h, w].
        inside_share: its mean over cells.
        steps: of steps across and down, those at the borders of blocks and in their middles:
            across, across, down, down [1, 4, h, w].
        step_shares: their means over cells.
    """

    inside: Tensor
    inside_share: Tensor
    steps: Tensor
    step_shares: Tensor


def masks_of(planes: HalfPlanes, extent: Extent) -> Masks:
    """Return the masks of images with these planes."""
    lines = planes.means[0, 0, :, 0], planes.means[0, 0, 0]
    places = [torch.arange(line.shape[0], device=line.device) for line in lines]
    down, across = (
        (place < length / 2).float()
        for place, length in zip(places, (extent.height, extent.width), strict=True)
    )
    inside = (down[:, None] * across)[None, None]
    one = torch.ones_like(inside)
    shown = []
    for place, shape in ((places[1][None, :], one), (places[0][:, None], one)):
        border = (place % BLOCK == BLOCK - 1) & (place % CELL != CELL - 1)
        middle = place % BLOCK == BLOCK // 2 - 1
        shown += [shape * border.float(), shape * middle.float()]
    steps = torch.cat(shown, dim=1) * inside
    return Masks(
        inside,
        F.avg_pool2d(inside, CELL).clamp(min=SMALLEST),
        steps,
        F.avg_pool2d(steps, CELL).clamp(min=SMALLEST),
    )


def _plain(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean absolute difference of planes in cells: [N, 1, rows, columns]."""
    return F.avg_pool2d((one - two).abs().mean(dim=1, keepdim=True), CELL)


def _cell_positions(line: Tensor) -> Tensor:
    """Return 0, 1, 2 ... for the pixels along a line [L], and one more."""
    return torch.arange(line.shape[0] + 1, device=line.device).to(line.dtype)


def _relative(one: Tensor, two: Tensor, faint: float, invisible: float) -> Tensor:
    """Return the squared difference in relation to the squares: [N, 1, h, w]."""
    apart = F.relu((one - two).square().sum(dim=1, keepdim=True) - invisible)
    together = one.square().sum(dim=1, keepdim=True) + two.square().sum(dim=1, keepdim=True)
    return apart / (together + faint)


def _residual(one: Tensor, two: Tensor, energy: Tensor) -> list[Tensor]:
    """Describe the difference of aligned images by 11 channels [N, 11, h, w] in all.

    Absolute, squared and fourth power of the difference of luma; its square in flat places, and
    their share; the squared difference of chroma; and the equations for the displacement that
    remains: products of the mean gradient with itself (3) and with the difference (2).
    """
    difference = one - two
    luma = difference[:, :1]
    squared = luma.square()
    flat = 1 / (1 + energy / FLAT)
    total = (one + two)[:, :1] / 2
    across = F.pad(total[..., 1:] - total[..., :-1], (0, 1))
    down = F.pad(total[..., 1:, :] - total[..., :-1, :], (0, 0, 0, 1))
    return [
        luma.abs(), squared, squared.square(), squared * flat, flat,
        difference[:, 1:].square().sum(dim=1, keepdim=True),
        across.square(), across * down, down.square(), across * luma, down * luma,
    ]  # fmt: skip


def _root(values: Tensor) -> Tensor:
    """Return square roots, with a bounded slope at 0: rounding errors must not show."""
    return (values + FAINT_PLACE).sqrt() - FAINT_PLACE**0.5


def _products(one: Tensor, two: Tensor) -> Tensor:
    """Return the products of all pairs of planes: [N, 9, h, w]."""
    return torch.cat([one[:, i : i + 1] * two for i in range(one.shape[1])], dim=1)
