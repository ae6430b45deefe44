"""The metric of size and presence: uint8 images in, one distance out, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.distortions.kinds import KIND_NAMES, KINDS
from dps_train.model.backbone.backbones import Backbone
from dps_train.model.change.change_features import displacements
from dps_train.model.change.comparison import Change, ChangeComparison, ImageParts
from dps_train.model.change.cut_points import CutPoints
from dps_train.model.change.general_distance import trust
from dps_train.model.change.half_planes import CELL, Extent, extent_of
from dps_train.model.change.motion import Motion
from dps_train.model.change.presence_head import (
    BEHIND_IN_CELLS,
    LARGEST_LOG_STRENGTH,
    SMALLEST_LOG_STRENGTH,
    CellHead,
    PresenceHead,
    Reading,
    pooled_directions,
    presences,
    presences_in_cells,
)
from dps_train.model.codes import ChannelCode, PairCode
from dps_train.model.comparisons import PairComparison
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.resizing import resize_across, resize_down

STILL = 0.02
"""Degrees, and percent, at which the direction of a motion is half clear."""

PLACES = 8
"""Places of a map along each side of a cell."""

LEAST_SHOWN = 0.01
"""Share of the largest importance with which every place is shown."""

SMALLEST_MEAN = 1e-7
"""Mean of a map below which it shows rounding errors only."""

ROTATE, TRANSLATE, ZOOM, COMPRESSION = (
    KIND_NAMES.index(name) for name in ("rotate", "translate", "zoom", "compression")
)


@dataclass(frozen=True)
class Outputs:
    """What the metric says of N pairs.

    Attributes:
        amounts: of each kind and the size [N, K + 1].
        strengths: in the kinds' units; 0 for kinds that are absent or have none, and for those that
            only some cells show [N, K].
        directions: in [-1, 1], positive where the second image goes the way of the kind's name;
            0 for kinds that are absent or have none [N, K].
        cells: presences in cells times their distance [N, rows, columns, K].
        places: where the images differ, with 8 x 8 places a cell [N, h, w]; its mean over the
            image, without what lies beyond its border, is 1, or 0 where they do not differ.
        extent: of the images.
    """

    amounts: Tensor
    strengths: Tensor
    directions: Tensor
    cells: Tensor
    places: Tensor
    extent: Extent


class ChangeEncoder(PairComparison):
    """Compare two images at their own size, and what a network reads of them shrunk.

    It takes the place of a `Comparison` in a `Metric`. Its maps of an image are the image's
    extent, what `ChangeComparison` needs of it, and the maps of the network.

    Args:
        code: reads the network's maps of both images.
    """

    def __init__(self, code: PairCode | ChannelCode) -> None:
        super().__init__()
        self.code = code
        self.name, self.channel_norm = code.name, code.channel_norm
        self.change = ChangeComparison()
        self.cell_head = CellHead(len(KIND_NAMES))

    def described(self, images: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps of RGB images [N, H, W, 3] from 0 to 255, uint8 or float.

        `maps` are those of the network.
        """
        extent = extent_of(images)
        rows = torch.stack([extent.height, extent.width]).expand(images.shape[0], 2)
        return [rows, *self.change.parts(images, extent).tensors(), *self.code.normalized(maps)]

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return z [N, D] of both images' maps; see `dps_train.model.change.presence_head`."""
        z, _, _ = self.compared(first, second)
        return z

    def compared(
        self, first: Sequence[Tensor], second: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Change]:
        """Return z [N, D], evidence and directions in cells [N, cells, K], and the change."""
        end = 1 + ImageParts.LENGTH
        one, two = (ImageParts.from_tensors(maps[1:end]) for maps in (first, second))
        change = self.change(one, two, extent_in(second))
        total, code = self.code(first[end:], second[end:])
        cells = change.cells.flatten(3).permute(0, 3, 1, 2)
        evidence, directions = self.cell_head(cells, change.motion[:, None])
        in_cells = presences_in_cells(evidence, change.cell_distances.flatten(1))
        features = change.features.flatten(1)
        parts = [total[:, None], change.terms, features, change.motion, in_cells, code]
        return torch.cat(parts, dim=1), (evidence, directions), change


def extent_in(maps: Sequence[Tensor]) -> Extent:
    """Return the extent in an encoder's maps."""
    height, width = maps[0][0].unbind()
    return Extent(height, width)


class ChangeMetric(Metric):
    """Measure the size of a change and which kinds it is made of.

    Args:
        preprocess: shrinks images for the network.
        backbone: the network.
        code: reads the network's maps of both images.
    """

    comparison: ChangeEncoder
    head: PresenceHead | ExtendedHead

    def __init__(
        self, preprocess: Preprocess, backbone: Backbone, code: PairCode | ChannelCode
    ) -> None:
        head = PresenceHead(KIND_NAMES, code.length)
        super().__init__(preprocess, backbone, ChangeEncoder(code), head)
        self.cut = CutPoints()

    def features(self, reference: Tensor, distorted: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return both images' maps; see `Metric`."""
        index = self.reference_index(reference, distorted)
        first, second = self.described(reference), self.described(distorted)
        return [layer.index_select(0, index) for layer in first], second

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of float RGB [N, 3, H, W] in [0, 1], of any size."""
        return self.described(255 * images.permute(0, 2, 3, 1))

    def described(self, images: Tensor) -> list[Tensor]:
        """Return the maps of RGB [N, H, W, 3] from 0 to 255, uint8 or float."""
        planes = images.permute(0, 3, 1, 2).to(self.preprocess.mean.dtype) / 255
        size = self.preprocess.size
        if size is not None:
            planes = resize_down(self.cut("columns", resize_across(planes, size)), size)
        return self.comparison.described(images, self.backbone(self.preprocess.normalize(planes)))

    def read(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor]:
        """Return amounts [N, A], and a map of where the images differ, with mean 1."""
        out = self.outputs(reference, distorted)
        return out.amounts, self.places_in(out, self.head.importances)

    def places_in(self, out: Outputs, importances: Tensor) -> Tensor:
        """Return where the distance in a context comes from [N, h, w], scaled as `Outputs.places`.

        Args:
            out: what the metric says.
            importances: of the amounts [A].
        """
        distances = out.cells.amax(dim=-1)
        counted = out.cells @ (importances[:-1] * self.head.scales) + importances[-1] * distances
        counted = counted / distances.clamp(min=SMALLEST_MEAN)
        # Cells may show other kinds than the whole image does: then they show where it differs.
        counted = counted + LEAST_SHOWN * importances.amax(dim=0)
        wide = counted[:, :, None, :, None].expand(-1, -1, PLACES, -1, PLACES)
        smooth = F.avg_pool2d(
            wide.flatten(3).flatten(1, 2)[:, None], PLACES + 1, 1, PLACES // 2,
            count_include_pad=False,
        )  # fmt: skip
        return _shares(out.places * smooth[:, 0], out.extent)

    def outputs(self, reference: Tensor, distorted: Tensor) -> Outputs:
        """Compare uint8 RGB images; see `Metric.forward` for the shapes."""
        first, second = self.features(reference, distorted)
        z, (evidence, ways), change = self.comparison.compared(first, second)
        reading = self.head.read(z)
        distances = change.cell_distances
        in_cells = presences(torch.sigmoid(evidence), BEHIND_IN_CELLS)
        in_cells = in_cells * distances.flatten(1)[..., None]
        strengths, directions = _physical(change, reading, extent_in(second))
        # The head reads strengths and directions of the whole image. They say nothing of a kind
        # that only some cells show: it has the direction of those cells, and no strength.
        read = presences(self.head.probabilities(z, reading)) > 0
        in_places = pooled_directions(evidence, ways, distances.flatten(1))
        directions = torch.where(read, directions, in_places)
        both = torch.tensor([float(kind.directions is not None) for kind in KINDS] + [0.0])
        present = self.head.present(z, reading)
        shown = (present > 0).float()
        return Outputs(
            amounts=self.head.amounts_of(self.head.size(z, reading), present),
            strengths=self.head.widened(strengths * read) * shown,
            directions=self.head.widened(directions * both) * shown,
            cells=self.head.widened(in_cells.unflatten(1, distances.shape[1:])),
            places=_shares(change.statistics.places[:, 0], extent_in(second)),
            extent=extent_in(second),
        )


def _shares(places: Tensor, extent: Extent) -> Tensor:
    """Scale a map [N, h, w] to a mean of 1 over the image."""
    pitch = CELL // PLACES
    down, across = (
        (length / pitch - torch.arange(count, device=places.device)).clamp(0, 1)
        for length, count in ((extent.height, places.shape[1]), (extent.width, places.shape[2]))
    )
    mean = (places * across).sum(dim=2) @ down / (down.sum() * across.sum())
    differs = mean > SMALLEST_MEAN
    return torch.where(differs, 1 / torch.where(differs, mean, 1), 0)[:, None, None] * places


def _physical(change: Change, reading: Reading, extent: Extent) -> tuple[Tensor, Tensor]:
    """Return strengths in the kinds' units, and directions in [-1, 1]: [N, K] each.

    Directions of kinds that have none mean nothing.
    """
    strengths = reading.strengths.clamp(SMALLEST_LOG_STRENGTH, LARGEST_LOG_STRENGTH).exp()
    directions = torch.tanh(reading.directions / 2)
    trusted = trust(change.terms)
    turn, scale = turn_and_scale(change.estimate, extent)
    shift = displacements(change.estimate, extent)[:, 1]
    degrees = 2 * torch.atan(turn / 2) * (180 / math.pi)
    percent = 100 * scale / (1 - scale / 2).clamp(min=0.1)
    columns, ways = list(strengths.unbind(1)), list(directions.unbind(1))
    columns[TRANSLATE] = columns[TRANSLATE] * extent.side
    for kind, measured in ((ROTATE, degrees), (TRANSLATE, shift), (ZOOM, percent)):
        read = torch.log(columns[kind] + 1e-6) * (1 - trusted)
        columns[kind] = torch.exp(read + trusted * torch.log(measured.abs() + 1e-6))
    for kind, measured in ((ROTATE, degrees), (ZOOM, percent)):
        ways[kind] = (1 - trusted) * ways[kind] + trusted * measured / (measured.abs() + STILL)
    known = torch.tensor([float(kind.unit is not None) for kind in KINDS] + [0.0])
    columns[COMPRESSION] = columns[COMPRESSION].clamp(1, 100)
    # onnxruntime's hyperbolic tangent may exceed 1 in the last bit.
    return torch.stack(columns, 1) * known, torch.stack(ways, 1).clamp(-1, 1)


def turn_and_scale(motion: Motion, extent: Extent) -> tuple[Tensor, Tensor]:
    """Return the antisymmetric part of a motion, in radians, and its scaling: [N] each."""
    half = extent.half
    matrix = motion.matrix * half[:, None] / half[None, :]
    return (matrix[:, 1, 0] - matrix[:, 0, 1]) / 2, (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2
