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


CELL = 64
"""Side of a cell in pixels. Planes hold whole cells: the border of an image is repeated."""


@dataclass(frozen=True)
class HalfPlanes:
    """An image as planes of half its height and width, up to whole cells.

    Attributes:
        means: luma and chroma [N, 3, 32 * rows, 32 * columns].
        details: vertical, horizontal and diagonal detail [N, 9, ...]: three of luma, three of
            each chroma plane.
    """

    means: Tensor
    details: Tensor


@dataclass(frozen=True)
class Extent:
    """Height and width of images in pixels, as tensors, so that a graph works for every size."""

    height: Tensor
    width: Tensor

    @property
    def side(self) -> Tensor:
        """The side of a square of the same area."""
        return (self.height * self.width).sqrt()

    @property
    def half(self) -> Tensor:
        """Half of width and height: [2]."""
        return torch.stack([self.width, self.height]) / 2


def extent_of(images: Tensor) -> Extent:
    """Return the extent of images [N, H, W, 3], in their type or else in float32."""
    kind = images.dtype if images.is_floating_point() else torch.float32
    height, width = (
        torch.arange(1, line.shape[0] + 1, device=line.device)[-1].to(kind)
        for line in (images[0, :, 0, 0], images[0, 0, :, 0])
    )
    return Extent(height, width)


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
        """Convert images of any size."""
        rows, columns = (_whole_cells(line) for line in (images[0, :, 0, 0], images[0, 0, :, 0]))
        whole = images.index_select(1, rows).index_select(2, columns).permute(0, 3, 1, 2)
        # Compiled gradients of padding are wrong where channels come last (PyTorch 2.15).
        whole = whole.to(self.kernels.dtype).contiguous()
        bands = F.conv2d(whole, self.kernels, stride=2)
        return HalfPlanes(bands[:, :3], bands[:, 3:])


def _whole_cells(line: Tensor) -> Tensor:
    """Return the positions [CELL * cells] of whole cells along a line [L] of pixels."""
    last = torch.arange(line.shape[0], device=line.device)[-1]
    start = torch.arange(0, line.shape[0], CELL, device=line.device)
    return torch.minimum(start[:, None] + torch.arange(CELL, device=line.device), last).flatten()


def shrink_across(means: Tensor, size: int, extent: Extent) -> Tensor:
    """Resize the rows of planes [N, C, h, w] to `size`, bilinear and antialiased."""
    return means @ _shrinking(means[0, 0, 0], size, extent.width / 2).T


def shrink_down(means: Tensor, size: int, extent: Extent) -> Tensor:
    """Resize the columns of planes [N, C, h, w] to `size`, bilinear and antialiased."""
    return _shrinking(means[0, 0, :, 0], size, extent.height / 2) @ means


def _shrinking(line: Tensor, size: int, length: Tensor) -> Tensor:
    """Return the weights [size, L] that resize the first `length` pixels of a line [L]."""
    position = torch.arange(line.shape[0], device=line.device) + 0.5
    scale = length / size
    center = (torch.arange(size, device=line.device)[:, None] + 0.5) * scale
    weights = (1 - (position - center).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * (position < length + 0.5)
    return (weights / weights.sum(dim=1, keepdim=True)).to(line.dtype)
