"""Estimate how the content of one image has moved in another.

Gauss-Newton steps on local squared differences (Lucas and Kanade 1981), from coarse to fine: each
cell of a grid solves for its own displacement, and the affine motion that fits all cells best is
taken out of them. Both images are moved half of the way towards each other. So the estimate is
exactly negated when the images are exchanged, exactly 0 for equal images, and interpolation
softens both alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.change.cut_points import CutPoints
from dps_train.model.change.sampling import neighborhoods, sample

SIDE = 128
"""Side in pixels of the square that images are resized to."""

CELLS = 8
"""Cells along each side of the square that have a displacement of their own."""

STEPS = ((32, 3), (64, 1), (128, 2))
"""Sides of the pyramid's levels, the coarsest first, and how many steps each takes."""

RIGID = 32
"""The side of the level that only looks for affine motion."""

WINDOW = 9
"""Side in pixels of the window whose mean and contrast are removed, so that light does not
matter."""

CONTRAST = 4e-4
"""Variance that is added to that of a window."""

OUTLIER = 0.5
"""Difference of normalized pixels whose weight in a step is one half."""

DAMPING = 0.05
"""Share of the mean gradient energy that is added in each cell: cells without texture do not
move."""


@dataclass(frozen=True)
class Motion:
    """The motion from a first to a second image, in half sides of the image.

    A place p (across, down; from -1 to 1) of the mean of both images lies at p - f(p) / 2 in the
    first and at p + f(p) / 2 in the second, with f(p) = matrix @ p + shift + the interpolated
    `local` displacement.

    Attributes:
        matrix: [N, 2, 2].
        shift: [N, 2].
        local: remainders of the cells [N, 2, CELLS, CELLS].
        before: mean squared difference of the normalized images as they are [N].
        after: the same after the motion is undone [N].
        inside: share of the square that both images show after that [N].
    """

    matrix: Tensor
    shift: Tensor
    local: Tensor
    before: Tensor
    after: Tensor
    inside: Tensor


class MotionEstimate(nn.Module):
    """Estimate `Motion` between gray images [N, 1, SIDE, SIDE] in [0, 1]."""

    cells: Tensor
    near: Tensor
    far: Tensor
    slopes: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = (torch.arange(CELLS) + 0.5) * 2 / CELLS - 1
        self.register_buffer("cells", _grid(line, line), persistent=False)
        for side, _ in STEPS:
            line = (torch.arange(side) + 0.5) * 2 / side - 1
            self.register_buffer(f"places{side}", _grid(line, line), persistent=False)
            self.register_buffer(f"between{side}", between_cells(line), persistent=False)
            middle = F.pad(torch.ones(1, 1, side - 6, side - 6), (3, 3, 3, 3))
            self.register_buffer(f"middle{side}", middle, persistent=False)

        self.register_buffer("near", _binomial(1), persistent=False)
        self.register_buffer("far", _binomial(2), persistent=False)
        slope = torch.zeros(2, 1, 3, 3)
        slope[0, 0, 1], slope[1, 0, :, 1] = (torch.tensor([-1.0, 0.0, 1.0]) for _ in range(2))
        self.register_buffer("slopes", slope, persistent=False)
        self.cut = CutPoints()

    def pyramid(self, gray: Tensor) -> list[Tensor]:
        """Return the levels of a gray image, normalized, the coarsest first."""
        levels = [self._normalized(gray)]
        for _ in STEPS[1:]:
            gray = F.avg_pool2d(gray, 2)
            levels.append(self._normalized(gray))
        return levels[::-1]

    def forward(self, first: list[Tensor], second: list[Tensor]) -> Motion:
        """Estimate the motion between images, given as their pyramids."""
        count = second[0].shape[0]
        zero = second[0].new_zeros(1)
        matrix, shift = zero.expand(count, 4).unflatten(1, (2, 2)), zero.expand(count, 2)
        local = zero.expand(count, 2 * CELLS**2).unflatten(1, (2, CELLS, CELLS))
        for (side, steps), one, two in zip(STEPS, first, second, strict=True):
            both = neighborhoods(torch.cat([one, two]))
            for _ in range(steps):
                flow = self._flow(side, matrix, shift, local)
                moved, inside = self._moved(side, both, flow)
                halves = moved[:count], moved[count:]
                difference = halves[0] - halves[1]
                weight = inside / (1 + (difference / OUTLIER).square())
                equations = _equations(
                    halves[0] + halves[1],
                    difference,
                    weight * getattr(self, f"middle{side}"),
                    self.slopes,
                )
                step, trust = _solved(_soften(equations, self.far if side == RIGID else self.near))
                total = self._flow(CELLS, matrix, shift, local) + step
                matrix, shift = affine_fit(self.cells, total, trust)
                if side != RIGID:
                    rest = total - self._affine(self.cells, matrix, shift)
                    smooth = _soften(torch.cat([rest * trust, trust], dim=1), self.near)
                    local = smooth[:, :2] / (smooth[:, 2:] + 0.05)
        energy = (one - two).square(), difference.square()
        share = inside.mean(dim=(1, 2, 3))
        before, after = ((part * inside).mean(dim=(1, 2, 3)) / (share + 1e-4) for part in energy)
        return Motion(
            matrix=self.cut("matrix", matrix),
            shift=self.cut("shift", shift),
            local=self.cut("local", local),
            before=self.cut("before", before),
            after=self.cut("after", after),
            inside=self.cut("inside", share),
        )

    def _normalized(self, gray: Tensor) -> Tensor:
        """Remove local mean and contrast, then soften, so that interpolation is accurate."""
        detail = gray - _window(gray)
        return _soften(detail / (_window(detail.square()) + CONTRAST).sqrt(), self.far)

    def _flow(self, side: int, matrix: Tensor, shift: Tensor, local: Tensor) -> Tensor:
        if side == CELLS:
            return self._affine(self.cells, matrix, shift) + local
        between = getattr(self, f"between{side}")
        return (
            self._affine(getattr(self, f"places{side}"), matrix, shift)
            + between @ local @ between.T
        )

    @staticmethod
    def _affine(places: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
        """Return the affine flow [N, 2, h, w] at places [2, h, w]."""
        return (matrix @ places.flatten(1) + shift[:, :, None]).unflatten(2, places.shape[1:])

    def _moved(self, side: int, table: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Move the images of a table [2 N] half of the way; return them, and where both show.

        What they show fades out over the last half pixel, so that rounding errors do not decide
        whether a pixel on the border counts.
        """
        places = getattr(self, f"places{side}")
        at = torch.cat([places - flow / 2, places + flow / 2])
        inside = ((1 - at.abs()) * side).clamp(0, 1).amin(dim=1, keepdim=True)
        length = torch.tensor(float(side), device=at.device)
        moved = sample(table, (at + 1) * (side / 2) - 0.5, length, length)
        return moved, inside[: flow.shape[0]] * inside[flow.shape[0] :]


def between_cells(line: Tensor) -> Tensor:
    """Return the weights [L, CELLS] that interpolate cells at positions [L] from -1 to 1."""
    center = (torch.arange(CELLS, device=line.device) + 0.5) * 2 / CELLS - 1
    last = 1 - 1 / CELLS
    return (1 - (line.clamp(-last, last)[:, None] - center).abs() * CELLS / 2).clamp(min=0)


def affine_fit(places: Tensor, flow: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    """Fit an affine motion to displacements.

    Args:
        places: [2, h, w].
        flow: displacements [N, 2, h, w].
        trust: weights [N, 1, h, w] > 0.

    Returns:
        The matrix [N, 2, 2] and the shift [N, 2] of the middle.
    """
    share = (trust / trust.sum(dim=(2, 3), keepdim=True)).flatten(2)
    at, to = places.flatten(1), flow.flatten(2)
    middle, center = (share * at).sum(dim=2), (share * to).sum(dim=2)
    at, to = at - middle[:, :, None], to - center[:, :, None]
    spread = (share * at) @ at.transpose(1, 2)
    across = to @ (share * at).transpose(1, 2)
    # Keeps the fit stable if all trusted cells are on one line.
    a, b, d = spread[:, 0, 0] + 1e-3, spread[:, 0, 1], spread[:, 1, 1] + 1e-3
    inverse = torch.stack([d, -b, -b, a], dim=1) / (a * d - b * b)[:, None]
    matrix = across @ inverse.unflatten(1, (2, 2))
    return matrix, center - (matrix @ middle[:, :, None])[:, :, 0]


def _equations(total: Tensor, difference: Tensor, weight: Tensor, slopes: Tensor) -> Tensor:
    """Return the sums of a step's normal equations per cell: [N, 5, CELLS, CELLS]."""
    side = total.shape[-1]
    gradient = F.conv2d(total, slopes, padding=1) * (side / 8)
    values = torch.cat([gradient, difference], dim=1)
    across, down = gradient[:, :1], gradient[:, 1:]
    terms = torch.cat([across * values, down * values[:, 1:]], dim=1)
    return F.avg_pool2d(terms * weight, side // CELLS)


def _solved(equations: Tensor) -> tuple[Tensor, Tensor]:
    """Return each cell's step [N, 2, CELLS, CELLS] and how far it can be trusted [N, 1, ...]."""
    xx, xy, right, yy, lower = (equations[:, i : i + 1] for i in range(5))
    damping = DAMPING * (xx + yy).mean(dim=(2, 3), keepdim=True) + 1e-6
    a, d = xx + damping, yy + damping
    step = torch.cat([d * right - xy * lower, a * lower - xy * right], dim=1) / (a * d - xy * xy)
    smallest = (xx + yy) / 2 - ((xx - yy).square() / 4 + xy * xy + 1e-12).sqrt()
    # Flat cells round below 0, as far as -damping: there the slope would be infinite.
    smallest = smallest.clamp(min=0)
    return step, (smallest / (smallest + damping)).clamp(min=1e-4)


def _window(gray: Tensor) -> Tensor:
    half = WINDOW // 2
    rows = F.avg_pool2d(gray, (WINDOW, 1), 1, (half, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, WINDOW), 1, (0, half), count_include_pad=False)


def _soften(images: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel of [N, C, h, w] with a kernel [1, 1, k, k]; 0 beyond the border."""
    planes = images.flatten(0, 1)[:, None]
    soft = F.conv2d(planes, kernel, padding=kernel.shape[-1] // 2)
    return soft[:, 0].unflatten(0, (-1, images.shape[1]))


def _binomial(times: int) -> Tensor:
    """Return the kernel (1, 2, 1) / 4 along both sides, applied `times` times: [1, 1, k, k]."""
    line = torch.ones(1)
    for _ in range(2 * times):
        line = F.conv1d(line[None, None], torch.tensor([[[0.5, 0.5]]]), padding=1)[0, 0]
    return (line[:, None] * line)[None, None]


def _grid(down: Tensor, across: Tensor) -> Tensor:
    """Return positions [2, h, w] as (across, down)."""
    return torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1])
