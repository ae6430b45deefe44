"""The general distance, or size: how different two images are, whatever the kind of change.

It has two parts. What remains after the motion is undone is measured by fixed filters: the
relative difference of luma gradients, weighted by the gradients themselves, at half and a quarter
of the resolution, and the relative difference of coarse luma and chroma. The motion counts by the
logarithm of the displacement. Both follow an image's content little: the same change is about as
far on every photograph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dps_train.model.change.cell_statistics import SMALLEST, CellStatistics
from dps_train.model.change.change_features import displacements
from dps_train.model.change.half_planes import Extent
from dps_train.model.change.motion import Motion
from dps_train.model.change.powers import power

TERMS = 7
"""Length of `terms`."""

EXPONENT = 0.6
CHROMA_WEIGHT = 0.3
CHROMA_EXPONENT = 0.3
CHROMA_FAINT = 1e-7
MOTION_WEIGHT = 3.45
LARGEST_MOTION = 0.3
"""Displacement as a share of the side from which on a motion counts no more."""

MOTION_FAINT = 1e-9

REMAINDER = 1e-3
"""Weight of the plain difference of pixels, so that no change is 0."""

INVISIBLE = 1e-3
"""Distance below which a change cannot be seen; it counts ever less from there on."""

CORRECTION = 0.35
"""Largest logarithm of the factor that a head may correct the distance by."""

EXPLAINED = 0.5
"""Share of the difference that a motion must explain to be trusted fully."""


def terms(s: CellStatistics, motion: Motion, extent: Extent) -> Tensor:
    """Return what the general distance is made of: [N, TERMS].

    Relative differences of gradients at two levels, of luma and of chroma; the displacement as a
    share of the side; the share of the difference that the motion leaves; and the mean absolute
    difference of the pixels.
    """
    share = s.covered / s.covered.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)
    parts, weights = ((part * share).sum(dim=(2, 3)) for part in s.differences)
    gradients = (parts / (weights + 1e-4))[:, :2]
    light = (s.light * share).sum(dim=(2, 3))
    moved = displacements(motion, extent).square().sum(dim=1, keepdim=True).sqrt() / extent.side
    left = ((motion.after + 1e-6) / (motion.before + 1e-6))[:, None]
    return torch.cat([gradients, light, moved, left, s.plain.mean(dim=(2, 3))], dim=1)


def remaining(values: Tensor) -> Tensor:
    """Return the part [...] of the distance that is no motion, of `terms` [..., TERMS]."""
    return _remaining(values[..., :3].clamp(min=0).sum(dim=-1), values[..., 3])


def cell_distance(s: CellStatistics) -> Tensor:
    """Return the remaining distance in each cell [N, rows, columns]."""
    gradients = s.differences[0] / (s.differences[1] + 1e-3)
    return _remaining(gradients[:, 0] + gradients[:, 1] + s.light[:, 0], s.light[:, 1])


def _remaining(luma: Tensor, chroma: Tensor) -> Tensor:
    colored = _power(chroma.clamp(min=0), CHROMA_EXPONENT, CHROMA_FAINT)
    return power(luma.clamp(min=0), EXPONENT) + CHROMA_WEIGHT * colored


def _power(values: Tensor, exponent: float, faint: float) -> Tensor:
    """Return powers of values >= 0 with a bounded slope at 0, and exactly 0 there."""
    # In units of `faint`: the exporter drops a term as small as `faint` itself.
    raised = faint**exponent * ((values / faint + 1).pow(exponent) - 1)
    # Two implementations of the power differ in the last bit.
    return torch.where(values > 0, raised.clamp(min=0), 0.0)


def trust(values: Tensor) -> Tensor:
    """Return how far the estimated motion can be trusted [...], in [0, 1]."""
    return ((1 - values[..., 5]) / EXPLAINED).clamp(0, 1)


def general_distance(values: Tensor, correction: Tensor) -> Tensor:
    """Return the general distance [...] >= 0, exactly 0 for identical images.

    Args:
        values: `terms` [..., TERMS].
        correction: [...] in [-1, 1].
    """
    moved = _power(values[..., 4].clamp(max=LARGEST_MOTION), EXPONENT, MOTION_FAINT)
    motion = MOTION_WEIGHT * moved * trust(values)
    size = (remaining(values) + motion) * torch.exp(CORRECTION * correction)
    size = size + REMAINDER * values[..., 6]
    return size * (size / (size + INVISIBLE))
