"""Half-resolution luma and chroma of an image, and the detail that halving removes.

One step of a Haar transform of the luma and chroma planes (BT.601, as in JPEG). Everything at the
image's own resolution is computed from these planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""From RGB in [0, 1] to luma in [0, 1] and two chroma planes in [-0.5, 0.5]."""

HAAR = (
    ((0.25, 0.25), (0.25, 0.25)),
    ((0.5, 0.5), (-0.5, -0.5)),
    ((0.5, -0.5), (0.5, -0.5)),
    ((0.5, -0.5), (-0.5, 0.5)),
)
"""The mean of 2 x 2 pixels, and their vertical, horizontal and diagonal detail."""


@dataclass(frozen=True)
class HalfPlanes:
    """An image as planes of half its height and width, rounded up.

    Attributes:
        means: luma and chroma [N, 3, h, w].
        details: vertical, horizontal and diagonal detail [N, 9, h, w]: three of luma, three of
            each chroma plane.
    """

    means: Tensor
    details: Tensor


class Halving(nn.Module):
    """Turn uint8 RGB [N, H, W, 3] into `HalfPlanes`."""

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        planes, bands = torch.tensor(TO_YCC), torch.tensor(HAAR)
        kernels = torch.einsum("pc,bhw->bpchw", planes, bands) / 255
        # The means of the three planes first, then the details plane by plane.
        ordered = torch.cat([kernels[0], kernels[1:].transpose(0, 1).flatten(0, 1)])
        self.register_buffer("kernels", ordered, persistent=False)

    def forward(self, images: Tensor) -> HalfPlanes:
        """Convert images; an odd last row or column is repeated."""
        pixels = images.permute(0, 3, 1, 2).float()
        height, width = pixels.shape[2:]
        even = F.pad(pixels, (0, width % 2, 0, height % 2), mode="replicate")
        bands = F.conv2d(even, self.kernels, stride=2)
        return HalfPlanes(bands[:, :3], bands[:, 3:])


def to_rgb(means: Tensor) -> Tensor:
    """Return RGB [N, 3, h, w] in [0, 1] of luma and chroma planes."""
    matrix = torch.linalg.inv(torch.tensor(TO_YCC, dtype=torch.float64)).float()
    return F.conv2d(means, matrix.to(means)[:, :, None, None])
