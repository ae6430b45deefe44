"""A metric in all its views: the whole image, tiles of it, and both.

The view ``whole`` shrinks images to the working size; ``tiles`` keeps their own resolution.
Shrinking removes a blur of two pixels, while a rotation of the whole image is seen best there. So a
context file reports the numbers of every view (`OUTPUTS`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dps_infer.compare import bands
from dps_infer.compare.bands import AGGREGATION, BOTH, LAYOUT, Motions
from dps_infer.model.contract import TILES, output_name
from dps_infer.model.manifest import Views
from dps_infer.model.view import View
from dps_train.model.description import distortion_infos
from dps_train.model.metric import Metric, shares, spread

DEFAULT = "both"
TILE = 64
"""Side of a tile in pixels for a metric without a working size."""

TILE_CELLS = 4
"""Cells of the map along each side of a tile."""

OUTPUTS = (
    *(output_name(kind, view) for view in View for kind in ("distance", "amounts", "map")),
    TILES,
)
"""The outputs of `ViewedMetric`, in order."""


@dataclass(frozen=True)
class Tiled:
    """The comparison of images tile by tile.

    Attributes:
        amounts: amounts of each tile [N, rows, columns, A].
        shares: map of the feature differences, with mean 1 in each tile
            [N, rows * TILE_CELLS, columns * TILE_CELLS].
    """

    amounts: Tensor
    shares: Tensor


def views_info(metric: Metric) -> Views:
    """Describe the views for a manifest."""
    return Views(
        default=DEFAULT,
        tile=tile_side(metric),
        layout=LAYOUT,
        aggregation=AGGREGATION,
        both=BOTH,
    )


def tile_side(metric: Metric) -> int:
    """Return the side of a metric's tiles in pixels: the working size, or `TILE`."""
    return metric.preprocess.size or TILE


def aggregate(tiles: Tensor) -> Tensor:
    """Return the amounts [N, A] of images; see `dps_infer.compare.bands.aggregate`."""
    return tiles.pow(3).mean(dim=(1, 2)).pow(1 / 3)


def combine(whole: Tensor, tiles: Tensor, across: Tensor, among: Motions | None) -> Tensor:
    """Return the amounts [N, A] of the view ``both``; see `dps_infer.compare.bands.combine`."""
    if among is not None:
        tiles = without_motion(whole, tiles, across, among)
    more = tiles[:, :-1] - whole[:, :-1]
    other_whole = whole[:, -1:] - more.clamp(min=0).sum(dim=1, keepdim=True)
    other_tiles = tiles[:, -1:] - (-more).clamp(min=0).sum(dim=1, keepdim=True)
    other = torch.maximum(other_whole, other_tiles).clamp(min=0)
    return torch.cat([torch.maximum(whole[:, :-1], tiles[:, :-1]), other], dim=1)


def without_motion(whole: Tensor, tiles: Tensor, across: Tensor, among: Motions) -> Tensor:
    """Remove motion from tiles' amounts [N, A]; see `dps_infer.compare.bands.without_motion`."""
    strengths = [
        threshold
        * torch.expm1(
            amounts[:, column].clamp(max=bands.LARGEST) * math.log1p(reference / threshold)
        )
        for amounts in (whole, tiles)
        for column, threshold, reference in zip(
            among.columns, among.thresholds, among.references, strict=True
        )
    ]
    turn, moved, enlarged, _, tile_shift, _ = strengths
    moving = torch.maximum(
        across * (moved + turn * (math.pi / 360) + enlarged / 4), bands.TRUST * tile_shift
    )
    fade = ((moving - bands.FAINT) / (bands.FULL - bands.FAINT)).clamp(0, 1)
    turned, shifted, zoomed = (whole[:, column] for column in among.columns)
    largest = torch.maximum(torch.maximum(turned, shifted), zoomed)
    share = (shifted + bands.EVEN) / (largest + bands.EVEN)
    _, threshold, _ = among.thresholds
    _, reference, _ = among.references
    shift = torch.log1p(tile_shift / across / threshold) / math.log1p(reference / threshold)
    columns = list((tiles * (1 - fade)[:, None]).unbind(dim=1))
    for column in among.columns:
        columns[column] = torch.zeros_like(fade)
    columns[among.columns[1]] = shift * (1 - fade * (1 - share))
    return torch.stack(columns, dim=1)


def tiles_across(images: Tensor, side: int) -> Tensor:
    """Return the number of tiles along a side; see `dps_infer.compare.bands.tiles_across`."""
    # Lengths come from positions and stay tensors, so that the graph works for every size.
    height, width = (
        torch.arange(1, line.shape[0] + 1, device=line.device)[-1].float()
        for line in (images[0, :, 0, 0], images[0, 0, :, 0])
    )
    return ((height * width).sqrt() / side).clamp(min=1)


def cut_tiles(images: Tensor, side: int) -> Tensor:
    """Cut images [N, H, W, 3] into tiles [N, rows, columns, 3, side, side]; see `LAYOUT`."""
    across = _cover(images[0, 0, :, 0], side)
    down = _cover(images[0, :, 0, 0], side)
    # onnxruntime is slow at gathering single numbers, and at transposing dimensions that are not
    # neighbors. So columns are gathered while they are contiguous, and rows afterward.
    columns = images.permute(0, 2, 3, 1).index_select(1, across).unflatten(1, (-1, side))
    planes = columns.flatten(3, 4).transpose(2, 3).unflatten(2, (3, -1))
    rows = planes.index_select(3, down).unflatten(3, (-1, side))
    return rows.permute(0, 3, 1, 2, 4, 5)


def _cover(line: Tensor, side: int) -> Tensor:
    """Return the positions [tiles * side] in a line [L] that evenly spaced tiles cover."""
    # Lengths come from positions and stay tensors, so that the graph works for every size.
    last = torch.arange(line.shape[0], device=line.device)[-1:]
    number = torch.arange(0, line.shape[0], side, device=line.device) // side
    room = (last - (side - 1)).clamp(min=0)
    start = number * room // number[-1:].clamp(min=1)
    pixels = start[:, None] + torch.arange(side, device=line.device)
    return torch.minimum(pixels, last).flatten()


class ViewedMetric(nn.Module):
    """A metric in all views, with the context as an input.

    Args:
        metric: the metric; its importances are not used.
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.side = tile_side(metric)
        self.motions = bands.motions(metric.head.names, distortion_infos())

    def forward(
        self, reference: Tensor, distorted: Tensor, importance: Tensor
    ) -> tuple[Tensor, ...]:
        """Compare images of equal height and width.

        Args:
            reference: uint8 RGB [R, H, W, 3]; R = N, or 1 to compare one image with all.
            distorted: uint8 RGB [N, H, W, 3].
            importance: float [A].

        Returns:
            `OUTPUTS`: per view the distance [N], amounts [N, A] and a map [N, H', W'], whose
            mean is the distance; and the amounts of the tiles [N, rows, columns, A].
        """
        amounts, where = self.metric.read(reference, distorted)
        tiled = self.tiled(reference, distorted)
        from_tiles = aggregate(tiled.amounts)
        across = tiles_across(distorted, self.side)
        # Roots, because a map is looked at: weak differences should show beside strong ones.
        per_tile = (tiled.amounts @ importance).sqrt()
        where_tiles = tiled.shares * per_tile.repeat_interleave(
            TILE_CELLS, dim=1
        ).repeat_interleave(TILE_CELLS, dim=2)
        outputs: list[Tensor] = []
        for view, places in (
            (amounts, where),
            (from_tiles, where_tiles),
            (combine(amounts, from_tiles, across, self.motions), where_tiles),
        ):
            distance = view @ importance
            outputs += [distance, view, distance[:, None, None] * shares(places)]
        return (*outputs, tiled.amounts)

    def tiled(self, reference: Tensor, distorted: Tensor) -> Tiled:
        """Compare images tile by tile; see `forward` for the arguments."""
        cut = [cut_tiles(images, self.side) for images in (reference, distorted)]
        count, rows, columns = cut[1].shape[:3]
        planes = [tiles.flatten(0, 2).float() / 255 for tiles in cut]
        one, second = self.metric.maps_of_both(*planes)
        index = self.metric.reference_index(reference, distorted)
        first = [
            layer.unflatten(0, (-1, rows * columns)).index_select(0, index).flatten(0, 1)
            for layer in one
        ]
        amounts = self.metric.head.amounts(self.metric.comparison(first, second))
        local = shares(spread(self.metric.comparison.difference_map(first, second, TILE_CELLS)))
        local = local.unflatten(0, (count, rows, columns)).transpose(2, 3)
        return Tiled(
            amounts.unflatten(0, (count, rows, columns)), local.flatten(3, 4).flatten(1, 2)
        )
