"""The metric of size and presence: uint8 images in, one distance out, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dps_train.model.backbones import Backbone
from dps_train.model.change.change_features import displacements
from dps_train.model.change.comparison import Change, ChangeComparison, ImageParts
from dps_train.model.change.general_distance import trust
from dps_train.model.change.half_planes import Extent, extent_of
from dps_train.model.change.kinds import KIND_NAMES, KINDS
from dps_train.model.change.motion import Motion
from dps_train.model.codes import ChannelCode, PairCode
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.presence_head import (
    LARGEST_LOG_STRENGTH,
    SMALLEST_LOG_STRENGTH,
    CellHead,
    PresenceHead,
    Reading,
    pooled_presences,
    presences,
)
from dps_train.model.resizing import resize

ROTATE, TRANSLATE, ZOOM = (KIND_NAMES.index(name) for name in ("rotate", "translate", "zoom"))


@dataclass(frozen=True)
class Outputs:
    """What the metric says of N pairs.

    Attributes:
        amounts: of each kind and the size [N, K + 1].
        strengths: in the kinds' units; 0 for kinds without one [N, K].
        directions: in [-1, 1], positive where the second image goes the way of the kind's name;
            0 for kinds without one [N, K].
        cells: presences in cells times their distance [N, rows, columns, K].
        places: where the images differ, with 8 x 8 places a cell [N, h, w].
    """

    amounts: Tensor
    strengths: Tensor
    directions: Tensor
    cells: Tensor
    places: Tensor


class ChangeMetric(nn.Module):
    """Measure the size of a change and which kinds it is made of.

    Args:
        preprocess: shrinks images for the network.
        backbone: the network.
        code: reads the network's maps of both images.
    """

    def __init__(
        self, preprocess: Preprocess, backbone: Backbone, code: PairCode | ChannelCode
    ) -> None:
        super().__init__()
        self.preprocess, self.backbone, self.code = preprocess, backbone, code
        self.change = ChangeComparison()
        self.cell_head = CellHead(len(KIND_NAMES))
        self.head = PresenceHead(KIND_NAMES, code.length)

    def forward(self, reference: Tensor, distorted: Tensor) -> Outputs:
        """Compare images of equal height and width.

        Args:
            reference: uint8 RGB [R, H, W, 3]; R is N, or 1 to compare one with all.
            distorted: uint8 RGB [N, H, W, 3].
        """
        extent = extent_of(distorted)
        index = Metric.reference_index(reference, distorted)
        first = [part.index_select(0, index) for part in self.describe(reference, extent)]
        second = self.describe(distorted, extent)
        z, evidence, change = self.compared(first, second, extent)
        reading = self.head.read(z)
        distances = change.cell_distances
        in_cells = presences(evidence) * distances.flatten(1)[..., None]
        strengths, directions = _physical(change, reading, extent)
        return Outputs(
            amounts=self.head.amounts_of(z, reading),
            strengths=strengths,
            directions=directions,
            cells=in_cells.unflatten(1, distances.shape[1:]),
            places=change.statistics.places[:, 0],
        )

    def describe(self, images: Tensor, extent: Extent) -> list[Tensor]:
        """Return what is computed of each image alone, each tensor [N, ...].

        Images are RGB [N, H, W, 3] from 0 to 255, uint8 or float.
        """
        planes = images.permute(0, 3, 1, 2).float() / 255
        shrunk = self.preprocess.normalize(resize(planes, self.preprocess.size))
        maps = self.code.normalized(self.backbone(shrunk))
        return [*self.change.parts(images, extent).tensors(), *maps]

    def compared(
        self, first: Sequence[Tensor], second: Sequence[Tensor], extent: Extent
    ) -> tuple[Tensor, Tensor, Change]:
        """Compare descriptions: z [N, D], the evidence in cells [N, cells, K], and the change."""
        length = ImageParts.LENGTH
        one, two = (ImageParts.from_tensors(d[:length]) for d in (first, second))
        change = self.change(one, two, extent)
        total, code = self.code(first[length:], second[length:])
        cells = change.cells.flatten(3).permute(0, 3, 1, 2)
        evidence, _ = self.cell_head(cells, change.motion[:, None])
        pooled = pooled_presences(evidence, change.cell_distances.flatten(1))
        parts = [
            total[:, None],
            change.terms,
            change.features.flatten(1),
            change.motion,
            pooled,
            code,
        ]
        return torch.cat(parts, dim=1), evidence, change


def _physical(change: Change, reading: Reading, extent: Extent) -> tuple[Tensor, Tensor]:
    """Return strengths in the kinds' units and directions in [-1, 1]: [N, K] each."""
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
        ways[kind] = (1 - trusted) * ways[kind] + trusted * measured / (measured.abs() + 1e-3)
    known = torch.tensor([float(kind.unit is not None) for kind in KINDS] + [0.0])
    both = torch.tensor([float(kind.directions is not None) for kind in KINDS] + [0.0])
    return torch.stack(columns, 1) * known, torch.stack(ways, 1) * both


def turn_and_scale(motion: Motion, extent: Extent) -> tuple[Tensor, Tensor]:
    """Return the antisymmetric part of a motion, in radians, and its scaling: [N] each."""
    half = extent.half
    matrix = motion.matrix * half[:, None] / half[None, :]
    return (matrix[:, 1, 0] - matrix[:, 0, 1]) / 2, (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2
