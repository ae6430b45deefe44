"""The metric of size and presence: uint8 images in, one distance out, and what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dps_train.model.change.change_features import displacements
from dps_train.model.change.comparison import Change, ChangeComparison, ImageParts, from_tensors
from dps_train.model.change.general_distance import trust
from dps_train.model.change.half_planes import Extent, extent_of
from dps_train.model.change.kinds import KIND_NAMES, KINDS
from dps_train.model.change.motion import Motion
from dps_train.model.resizing import resize
from dps_train.model.presence_head import (
    LARGEST_LOG_STRENGTH,
    SMALLEST_LOG_STRENGTH,
    CellHead,
    PresenceLayers,
    Reading,
    pooled_presences,
    presences,
    size_of,
)

ROTATE, TRANSLATE, ZOOM = (KIND_NAMES.index(name) for name in ("rotate", "translate", "zoom"))

SHOWN = 1e-3
"""Direction and strength of a kind are read from its presence on."""


Description = tuple[ImageParts, list[Tensor]]


@dataclass(frozen=True)
class Outputs:
    """What the metric says of N pairs; see `ChangeMetric`."""

    size: Tensor
    presence: Tensor
    strengths: Tensor
    directions: Tensor
    cells: Tensor
    places: Tensor
    reading: Reading
    terms: Tensor


class ChangeMetric(nn.Module):
    """Measure the size of a change and which kinds it is made of.

    Args:
        network: turns RGB [N, 3, S, S] in [0, 1] into maps of the shrunk images.
        code: turns both images' maps into a code [N, code].
        size: S, to which images are shrunk for the network.
        code_length: length of the code.
    """

    scale: Tensor

    def __init__(self, network: nn.Module, code: nn.Module, size: int, code_length: int) -> None:
        super().__init__()
        kinds = len(KIND_NAMES)
        self.comparison = ChangeComparison()
        self.network, self.code, self.size = network, code, size
        self.cell_head = CellHead(kinds)
        self.layers = PresenceLayers(kinds, code_length)
        self.register_buffer("scale", torch.ones(kinds))

    def describe(self, images: Tensor, extent: Extent) -> Description:
        """Return what is computed of each image alone; uint8 RGB [N, H, W, 3]."""
        planes = images.permute(0, 3, 1, 2).float() / 255
        maps = self.network(resize(planes, self.size))
        return self.comparison.parts(images, extent), list(maps)

    def read(self, first: Description, second: Description, extent: Extent) -> Outputs:
        """Compare descriptions of images of the same extent."""
        change = self.comparison(first[0], second[0], extent)
        code = self.code(first[1], second[1])
        cells = change.cells.flatten(3).permute(0, 3, 1, 2)
        evidence, _ = self.cell_head(cells, change.motion[:, None])
        pooled = pooled_presences(evidence, change.cell_distances.flatten(1))
        reading = self.layers(change.terms, change.features, change.motion, pooled, code)
        size = size_of(change.terms, reading)
        in_cells = presences(evidence) * change.cell_distances.flatten(1)[..., None]
        rows, columns = change.cell_distances.shape[1:]
        strengths, directions = self._physical(change, reading, extent)
        return Outputs(
            size=size,
            presence=presences(reading.evidence),
            strengths=strengths,
            directions=directions,
            cells=in_cells.unflatten(1, (rows, columns)),
            places=change.statistics.places[:, 0],
            reading=reading,
            terms=change.terms,
        )

    def _physical(self, change: Change, reading: Reading, extent: Extent) -> tuple[Tensor, Tensor]:
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


class ExportedMetric(nn.Module):
    """A metric with the context as an input; its outputs are those of a context file."""

    NAMES = ("distance", "size", "amounts", "strengths", "directions", "map", "cells")

    def __init__(self, metric: ChangeMetric) -> None:
        super().__init__()
        self.metric = metric

    def forward(self, reference: Tensor, distorted: Tensor, importance: Tensor) -> tuple[Tensor, ...]:
        """Compare images of equal height and width.

        Args:
            reference: uint8 RGB [R, H, W, 3]; R = N, or 1 to compare one image with all.
            distorted: uint8 RGB [N, H, W, 3].
            importance: float [K + 2]: of the kinds, of `other`, and of the size itself.
        """
        metric = self.metric
        extent = extent_of(distorted)
        first, second = metric.describe(reference, extent), metric.describe(distorted, extent)
        first = repeated(first, _reference_index(reference, distorted))
        out = metric.read(first, second, extent)
        amounts = torch.cat([out.size[:, None] * out.presence * metric.scale, out.size[:, None]], 1)
        distance = amounts @ importance
        mean = out.places.mean(dim=(1, 2))
        gain = torch.where(mean > 0, distance / mean.clamp(min=1e-12), 0.0)
        shown = gain[:, None, None] * out.places
        return distance, out.size, amounts, out.strengths, out.directions, shown, out.cells


def _reference_index(reference: Tensor, distorted: Tensor) -> Tensor:
    """Return the index of each candidate's reference [N]: 0, 1, 2 ... or, of one, 0, 0, 0 ..."""
    last = torch.arange(reference.shape[0], device=reference.device)[-1:]
    return torch.minimum(torch.arange(distorted.shape[0], device=reference.device), last)


def repeated(description: Description, index: Tensor) -> Description:
    """Return the descriptions of images at an index [N]."""
    parts, maps = description
    return (
        from_tensors([tensor.index_select(0, index) for tensor in parts.tensors()]),
        [layer.index_select(0, index) for layer in maps],
    )


def turn_and_scale(motion: Motion, extent: Extent) -> tuple[Tensor, Tensor]:
    """Return the antisymmetric part of a motion, in radians, and its scaling: [N] each."""
    half = extent.half
    matrix = motion.matrix * half[:, None] / half[None, :]
    return (matrix[:, 1, 0] - matrix[:, 0, 1]) / 2, (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2
