"""What a head sees of a change: logarithms, ratios and correlations of the statistics.

The features are computed for both orders of the images, as one batch. A head reads both: the mean
of its two answers does not depend on the order, and their difference changes its sign with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.change.cell_statistics import SMALLEST, CellStatistics
from dps_train.model.change.half_planes import Extent
from dps_train.model.change.motion import Motion
from dps_train.model.change.powers import root

MOTION = 14
"""Length of `motion_features`."""

FAINT = 1e-6
"""Energy below which logarithms level off: a thousandth of the range, squared.

It is added to each factor of a product rather than to the product: onnxscript's optimizer treats a
term of 1e-8 and less as 0 and drops it, and the exported graph would divide 0 by 0."""

STEP = 2e-3
"""The same for steps at the borders of blocks."""

DARK, EVEN = 0.02, 1e-5
"""The same for mean luma, and for the variance of planes."""

DAMPING = 2e-5
"""Added to squared gradients before a displacement is solved for."""

WEIGHTLESS = 1e-4
"""Added to the sum of weights of a relative difference."""

GROUPS = {
    "fine": 6, "fine'": 6, "fine products": 3,
    "gradients": 8, "gradients'": 8, "gradient products": 8,
    "colors": 12, "colors'": 12, "color products": 9,
    "parts": 4, "weights": 4, "residual": 11, "light": 2,
}  # fmt: skip
"""Channels of the stacked statistics; a prime marks the second image."""


def _start(group: str) -> int:
    names = list(GROUPS)
    return sum(GROUPS[name] for name in names[: names.index(group)])


def _at(group: str, places: Sequence[int] | None = None) -> list[int]:
    """Return the channels of a group, or some of them."""
    start = _start(group)
    return [start + place for place in (range(GROUPS[group]) if places is None else places)]


def _exchanged() -> list[int]:
    """Return the channels in the order that they have when the images are exchanged."""
    turned = [3 * column + row for row in range(3) for column in range(3)]
    order: list[int] = []
    for group in GROUPS:
        if group == "color products":
            order += _at(group, turned)
        elif group.endswith("'"):
            order += _at(group[:-1])
        else:
            order += _at(f"{group}'" if f"{group}'" in GROUPS else group)
    return order


FEATURES = 89
"""Length of the features of one order."""


class ChangeFeatures(nn.Module):
    """Turn cell statistics into features, with few and vectorized operators."""

    chroma: Tensor
    faint: Tensor
    power: Tensor
    linear: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._index("exchange", _exchanged())
        self._index("energies", _at("fine", range(3)) + _at("gradients"))
        self._index("energies2", _at("fine'", range(3)) + _at("gradients'"))
        self._index("products", _at("fine products") + _at("gradient products"))
        means = _at("colors", range(3)), _at("colors'", range(3))
        pairs = ((0, 0), (1, 1), (0, 1))
        self._index("left", [means[a][i] for a, _ in pairs for i in range(3) for _ in range(3)])
        self._index("right", [means[b][j] for _, b in pairs for _ in range(3) for j in range(3)])
        self._index(
            "moments",
            _at("colors", range(3, 12)) + _at("colors'", range(3, 12)) + _at("color products"),
        )
        self._index("variances", [0, 4, 8, 9, 13, 17])
        across = [(18 + 3 * i + j, i, 3 + j) for i in range(3) for j in range(3)]
        within = [
            (9 * part + 3 * i + j, 3 * part + i, 3 * part + j)
            for part in (0, 1)
            for i, j in ((0, 1), (0, 2), (1, 2))
        ]
        for number, name in enumerate(("covariance", "spread", "spread2")):
            self._index(name, [row[number] for row in across + within])
        chroma = torch.zeros(4, 27)
        for row, (place, sign) in (
            (0, (4, 1)), (0, (8, 1)), (1, (13, 1)), (1, (17, 1)),
            (2, (22, 1)), (2, (26, 1)), (3, (23, 1)), (3, (25, -1)),
        ):  # fmt: skip
            chroma[row, place] = sign
        self.register_buffer("chroma", chroma[:, :, None, None], persistent=False)
        self._index(
            "positive",
            _at("fine", (4, 5)) + _at("fine'", (4, 5)) + [means[0][0], means[1][0]],
        )
        self._index("flat", _at("fine", (3,)) + _at("fine'", (3,)))
        self._index("means", means[0] + means[1])
        self._index("parts", _at("parts"))
        self._index("weights", _at("weights"))
        self._index("residual", _at("residual", (0, 1, 3, 4, 5)) + _at("light"))
        self._index("fourth", _at("residual", (2,)))
        self._index("equations", _at("residual", range(6, 11)))
        self._index("squared", _at("residual", (1,)))
        faint = [FAINT] * 22 + [STEP] * 4 + [DARK] * 2 + [EVEN] * 6 + [FAINT] * 2 + [FAINT] * 17
        self._constant("faint", faint)
        power = [0.5] * 22 + [1.0] * 6 + [0.5] * 25
        self._constant("power", power)
        self.register_buffer("linear", _linear(), persistent=False)
        self._index("order", _order())

    def _index(self, name: str, values: list[int]) -> None:
        self.register_buffer(f"{name}_index", torch.tensor(values), persistent=False)

    def _constant(self, name: str, values: list[float]) -> None:
        self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def _pick(self, stack: Tensor, name: str) -> Tensor:
        return stack.index_select(1, getattr(self, f"{name}_index"))

    def stacked(self, s: CellStatistics) -> Tensor:
        """Return all statistics as channels, in the order of `GROUPS`."""
        return torch.cat(
            [
                *s.fine, s.fine_products, *s.gradients, s.gradient_products, *s.colors,
                s.color_products, *s.differences, s.residual, s.light,
            ],
            dim=1,
        )  # fmt: skip

    def in_cells(self, s: CellStatistics) -> Tensor:
        """Return the features of every cell, in both orders: [N, 2, FEATURES, rows, columns]."""
        return self._both_orders(self.stacked(s))

    def overall(self, s: CellStatistics) -> Tensor:
        """Return the features of the whole images, in both orders: [N, 2, FEATURES]."""
        share = s.covered / s.covered.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)
        fine = torch.cat([*s.fine, s.fine_products], dim=1).mean(dim=(2, 3), keepdim=True)
        rest = self.stacked(s)[:, GROUPS["fine"] * 2 + GROUPS["fine products"] :]
        rest = (rest * share).sum(dim=(2, 3), keepdim=True)
        return self._both_orders(torch.cat([fine, rest], dim=1))[..., 0, 0]

    def _both_orders(self, stack: Tensor) -> Tensor:
        both = torch.cat([stack, self._pick(stack, "exchange")])
        return self._features(both).unflatten(0, (2, -1)).transpose(0, 1)

    def _features(self, stack: Tensor) -> Tensor:
        one, two = self._pick(stack, "energies"), self._pick(stack, "energies2")
        correlation = self._pick(stack, "products") / ((one + FAINT) * (two + FAINT)).sqrt()
        moments = self._pick(stack, "moments")
        covariance = moments - self._pick(stack, "left") * self._pick(stack, "right")
        variance = self._pick(covariance, "variances").clamp(min=0)
        spread = (variance + EVEN).sqrt()
        related = self._pick(covariance, "covariance") / (
            self._pick(spread, "spread") * self._pick(spread, "spread2")
        )
        chroma = F.conv2d(moments, self.chroma)
        one_chroma, two_chroma = (chroma[:, part : part + 1].clamp(min=0) for part in (0, 1))
        scale = ((one_chroma + EVEN) * (two_chroma + EVEN)).sqrt()
        displaced, explained, share = self._displacement(stack)
        relative = self._pick(stack, "parts") / (self._pick(stack, "weights") + WEIGHTLESS)
        positive = torch.cat(
            [
                one, two, self._pick(stack, "positive"), variance, chroma[:, :2],
                self._pick(stack, "residual"), root(self._pick(stack, "fourth").clamp(min=0)),
                relative, self._pick(stack, "weights"), explained,
            ],
            dim=1,
        )  # fmt: skip
        logs = torch.log(positive.clamp(min=0) + self.faint) * self.power
        levels = torch.cat([logs, self._pick(stack, "flat"), self._pick(stack, "means")], dim=1)
        features = torch.cat(
            [
                F.conv2d(levels, self.linear),
                correlation, related, chroma[:, 2:] / scale, displaced, share,
            ],
            dim=1,
        )  # fmt: skip
        return self._pick(features, "order")

    def _displacement(self, stack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the displacement that remains, and the difference that it explains."""
        equations = self._pick(stack, "equations")
        xx, xy, yy, right, lower = (equations[:, i : i + 1] for i in range(5))
        a, d = xx + DAMPING, yy + DAMPING
        determinant = a * d - xy * xy
        across, down = (
            (d * right - xy * lower) / determinant,
            (a * lower - xy * right) / determinant,
        )
        explained = (right * across + lower * down).clamp(min=0)
        shift = (across.square() + down.square() + 1e-12).sqrt()
        return (
            torch.log1p(10 * shift),
            explained,
            explained / (self._pick(stack, "squared") + FAINT),
        )


LOGS = 53
"""Length of the logarithms: 22 energies, 4 steps at borders, 2 of light, 6 variances, 2 of chroma,
7 of differences, the fourth power, 4 relative differences and their weights, 1 explained."""


def _linear() -> Tensor:
    """Return the matrix from logarithms, flat shares and means to features, as a convolution."""
    rows: list[dict[int, float]] = []

    def level(places: Sequence[int]) -> None:
        rows.extend({place: 1.0} for place in places)

    def difference(first: Sequence[int], second: Sequence[int]) -> None:
        rows.extend({b: 1.0, a: -1.0} for a, b in zip(first, second, strict=True))

    level(range(11))
    difference(range(11), range(11, 22))
    rows.append({22: 1.0, 23: -1.0})
    rows.append({24: 1.0, 25: -1.0, 22: -1.0, 23: 1.0})
    level([26])
    difference([26], [27])
    level(range(28, 31))
    difference(range(28, 31), range(31, 34))
    level([34])
    difference([34], [35])
    level(range(36, 53))
    level([LOGS])
    difference([LOGS], [LOGS + 1])
    rows.extend({LOGS + 2 + i: 4.0} for i in range(3))
    rows.extend({LOGS + 5 + i: 4.0, LOGS + 2 + i: -4.0} for i in range(3))
    matrix = torch.zeros(len(rows), LOGS + 8)
    for number, row in enumerate(rows):
        for place, value in row.items():
            matrix[number, place] = value
    return matrix[:, :, None, None]


def _order() -> list[int]:
    """Return the order in which weights expect the features: subject by subject."""
    levels, differences = list(range(11)), list(range(11, 22))
    blocky, light, spreads, chroma = [22, 23], [24, 25], list(range(26, 32)), [32, 33]
    joint, flat, means = list(range(34, 51)), [51, 52], list(range(53, 59))
    correlation, related = list(range(59, 70)), list(range(70, 85))
    alike, displaced, share = [85, 86], 87, 88
    residual, lit, fourth, relative, weights, explained = (
        joint[:5], joint[5:7], joint[7], joint[8:12], joint[12:16], joint[16],
    )  # fmt: skip
    return [
        *levels[:3], *differences[:3], *correlation[:3], *flat, *blocky,
        *levels[3:], *differences[3:], *correlation[3:],
        *means, *light, *spreads, *related, *chroma, *alike,
        *residual[:2], fourth, *residual[2:], *lit, *relative, *weights,
        displaced, explained, share,
    ]  # fmt: skip


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
