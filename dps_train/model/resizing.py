"""Resize images with operators that every runtime has, and that are fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def resize(images: Tensor, size: int | None) -> Tensor:
    """Resize float images [N, C, H, W] to `size` on both sides, bilinear and antialiased.

    Equals ``F.interpolate(..., mode="bilinear", antialias=True)``, as two matrix products: for
    a large image, onnxruntime's Resize takes ten times as long, and half a gigabyte.
    """
    if size is None:
        return images
    down, across = (_resize_weights(line, size) for line in (images[0, 0, :, 0], images[0, 0, 0]))
    return down @ (images @ across.T)


def _resize_weights(line: Tensor, size: int) -> Tensor:
    """Return the weights [size, L] that resize a line of L pixels."""
    # Lengths come from positions and stay tensors: a graph for images of any size needs that.
    position = torch.arange(line.shape[0], device=line.device) + 0.5
    scale = (position[-1:] + 0.5) / size
    center = (torch.arange(size, device=line.device)[:, None] + 0.5) * scale
    weights = (1 - (position - center).abs() / scale.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
