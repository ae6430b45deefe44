"""Compare two images at their own size: everything that a head of size and presence reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dps_train.model.change import general_distance
from dps_train.model.change.cell_statistics import CellStatistics, CellStatisticsOf, masks_of
from dps_train.model.change.change_features import ChangeFeatures, motion_features
from dps_train.model.change.cut_points import CutPoints
from dps_train.model.change.half_planes import (
    Extent,
    HalfPlanes,
    Halving,
    shrink_across,
    shrink_down,
)
from dps_train.model.change.motion import SIDE, STEPS, Motion, MotionEstimate


@dataclass(frozen=True)
class Change:
    """What a head reads of N pairs.

    Attributes:
        terms: of the general distance [N, TERMS].
        features: of the whole images [N, 2, FEATURES].
        motion: `motion_features` [N, MOTION].
        cells: features of the cells [N, 2, FEATURES, rows, columns].
        cell_distances: the remaining distance in each cell [N, rows, columns].
        statistics: of the cells.
        estimate: the motion itself.
    """

    terms: Tensor
    features: Tensor
    motion: Tensor
    cells: Tensor
    cell_distances: Tensor
    statistics: CellStatistics
    estimate: Motion


@dataclass(frozen=True)
class ImageParts:
    """What is computed of one image alone, however many others it is compared with."""

    planes: HalfPlanes
    fine: Tensor
    pyramid: list[Tensor]

    LENGTH: ClassVar[int] = 3 + len(STEPS)

    def tensors(self) -> list[Tensor]:
        """Return all tensors [`LENGTH`], each [N, ...]."""
        return [self.planes.means, self.planes.details, self.fine, *self.pyramid]

    @classmethod
    def from_tensors(cls, tensors: Sequence[Tensor]) -> ImageParts:
        """Return the parts that `tensors` listed."""
        means, details, fine, *pyramid = tensors
        return cls(HalfPlanes(means, details), fine, pyramid)


class ChangeComparison(nn.Module):
    """Compare images by motion, cell statistics and the terms of the general distance."""

    def __init__(self) -> None:
        super().__init__()
        self.halving = Halving()
        self.motion = MotionEstimate()
        self.features = ChangeFeatures()
        self.statistics = CellStatisticsOf()
        self.cut = CutPoints()

    def parts(self, images: Tensor, extent: Extent) -> ImageParts:
        """Describe uint8 or float RGB images [N, H, W, 3], from 0 to 255."""
        planes = self.halving(images)
        gray = self.cut("gray", shrink_across(planes.means[:, :1], SIDE, extent))
        return ImageParts(
            planes,
            self.cut("fine", self.statistics.fine(planes, masks_of(planes, extent))),
            self.motion.pyramid(shrink_down(gray, SIDE, extent)),
        )

    def forward(self, first: ImageParts, second: ImageParts, extent: Extent) -> Change:
        """Compare images of the same extent."""
        statistics, estimate = self.aligned(first, second, extent)
        return Change(
            terms=general_distance.terms(statistics, estimate, extent),
            features=self.features.overall(statistics),
            motion=motion_features(estimate, extent),
            cells=self.features.in_cells(statistics),
            cell_distances=general_distance.cell_distance(statistics),
            statistics=statistics,
            estimate=estimate,
        )

    def aligned(
        self, first: ImageParts, second: ImageParts, extent: Extent
    ) -> tuple[CellStatistics, Motion]:
        """Return the statistics of images whose motion is undone, and the motion."""
        estimate = self.motion(first.pyramid, second.pyramid)
        masks = masks_of(second.planes, extent)
        fine = first.fine, second.fine
        return self.statistics(first.planes, second.planes, fine, masks, estimate, extent), estimate
