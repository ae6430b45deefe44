"""The difference of two images' fine detail after the motion between them is undone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.model.change.motion import Motion, between_cells

WINDOW = 5
"""Side in pixels of the window whose mean is removed: what is coarser, the metric sees."""

SMALLEST_SHARE = 1e-6
"""Share of an image that both show below which nothing is compared."""


def detail_difference(first: Tensor, second: Tensor, motion: Motion) -> Tensor:
    """Return the mean absolute difference of two images' detail whose motion is undone: [N].

    Detail is what differs from the mean of a `WINDOW`. Each image is moved half of the way towards
    the other, so that interpolation softens both alike.

    Args:
        first: float RGB [N, 3, H, W].
        second: float RGB [N, 3, H, W].
        motion: from the first to the second.
    """
    down, across = (_positions(side, first) for side in first.shape[2:])
    matrix, shift = motion.matrix[:, :, :, None, None], motion.shift[:, :, None, None]
    flow = matrix[:, :, 0] * across + (matrix[:, :, 1] * down[:, None] + shift)
    flow = flow + between_cells(down) @ motion.local @ between_cells(across).T
    places = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1])
    half = torch.tensor(first.shape[:1:-1]).to(first)[:, None, None] / 2
    moved, shown = [], []
    for images, at in ((first, places - flow / 2), (second, places + flow / 2)):
        grid = at.permute(0, 2, 3, 1)
        moved.append(F.grid_sample(images, grid, padding_mode="border", align_corners=False))
        # Fades out over the last half pixel, so that rounding errors do not decide what counts.
        shown.append(((1 - at.abs()) * half).clamp(0, 1).amin(dim=1))
    both = shown[0] * shown[1]
    difference = moved[0] - moved[1]
    coarse = F.avg_pool2d(difference, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    difference = (difference - coarse).abs().mean(dim=1) * both
    return difference.mean(dim=(1, 2)) / both.mean(dim=(1, 2)).clamp(min=SMALLEST_SHARE)


def _positions(side: int, like: Tensor) -> Tensor:
    """Return the centers of pixels along a side, from -1 to 1."""
    return ((torch.arange(side, device=like.device) + 0.5) * (2 / side) - 1).to(like)
