"""Read images between their pixels, with operators that every runtime has.

``grid_sample`` would do, but onnxruntime's takes ten times as long on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Interpolate images bilinearly; positions beyond the border read the border.

    Args:
        images: [N, C, H, W].
        rows: positions [N, h, w] in pixels; 0 is the center of the first pixel.
        columns: [N, h, w].

    Returns:
        [N, C, h, w].
    """
    count, channels, height, width = images.shape
    table = images.permute(0, 2, 3, 1).reshape(-1, channels)
    down, across = (
        place.clamp(min=0, max=length - 1)
        for place, length in ((rows, height), (columns, width))
    )
    top, left = down.floor(), across.floor()
    lower, right = (down - top)[..., None], (across - left)[..., None]
    first = (torch.arange(count, device=images.device) * (height * width))[:, None, None]
    near = first + top.long() * width, first + (top + 1).clamp(max=height - 1).long() * width
    ends = left.long(), (left + 1).clamp(max=width - 1).long()

    def at(row: Tensor, column: Tensor) -> Tensor:
        return table.index_select(0, (row + column).flatten()).unflatten(0, rows.shape)

    upper_row, lower_row = (
        (1 - right) * at(row, ends[0]) + right * at(row, ends[1]) for row in near
    )
    return ((1 - lower) * upper_row + lower * lower_row).permute(0, 3, 1, 2)
