"""Resize images with operators that every runtime has, and that are fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def resize(images: Tensor, size: int | None) -> Tensor:
    """Resize float images [N, C, H, W] to `size` on both sides, bilinear and antialiased.

    Equals ``F.interpolate(..., mode="bilinear", antialias=True)``, as two matrix products: for
    a large image, onnxruntime's Resize takes ten times as long, and half a gigabyte.
    """
    return images if size is None else resize_down(resize_across(images, size), size)


def resize_across(images: Tensor, size: int) -> Tensor:
    """Resize the rows of [N, C, H, W] to `size`: the first half of `resize`."""
    return images @ _resize_weights(images[0, 0, 0], size).T


def resize_down(images: Tensor, size: int) -> Tensor:
    """Resize the columns of [N, C, H, W] to `size`: the second half of `resize`."""
    return _resize_weights(images[0, 0, :, 0], size) @ images


def _resize_weights(line: Tensor, size: int) -> Tensor:
    """Return the weights [size, L] that resize a line of L pixels."""
    # Lengths come from positions and stay tensors: a graph for images of any size needs that.
    position = torch.arange(line.shape[0], device=line.device) + 0.5
    scale = (position[-1:] + 0.5) / size
    center = (torch.arange(size, device=line.device)[:, None] + 0.5) * scale
    weights = (1 - (position - center).abs() / scale.clamp(min=1)).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).to(line.dtype)
