"""Read images between their pixels, with operators that every runtime has.

``grid_sample`` would do, but onnxruntime's takes ten times as long on a CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def neighborhoods(images: Tensor) -> Tensor:
    """Return each pixel beside its right, lower and lower right neighbor: [N * H * W, 4 * C].

    Beyond the border, pixels are repeated.
    """
    wide = F.pad(images, (0, 1, 0, 1), mode="replicate")
    corners = wide[..., :-1, :-1], wide[..., :-1, 1:], wide[..., 1:, :-1], wide[..., 1:, 1:]
    return torch.stack(corners, dim=1).permute(0, 3, 4, 1, 2).flatten(0, 2).flatten(1)


def sample(table: Tensor, places: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Interpolate images bilinearly; places beyond the border read the border.

    Args:
        table: `neighborhoods` of images [N, C, H, W].
        places: across and down [N, 2, h, w] in pixels; 0 is the center of the first pixel.
        height: H.
        width: W.

    Returns:
        [N, C, h, w].
    """
    across = places[:, 0].clamp(min=0).minimum(width - 1)
    down = places[:, 1].clamp(min=0).minimum(height - 1)
    left, top = across.floor(), down.floor()
    right, lower = (across - left)[:, None], (down - top)[:, None]
    images = torch.arange(places.shape[0], device=places.device)[:, None, None]
    index = (top * width + left).long() + images * (height * width).long()
    # No reshaping: the number of places need not follow from the size of the images.
    # Channels first: onnxruntime broadcasts over the last axis value by value.
    four = F.embedding(index, table).permute(0, 3, 1, 2)
    channels = table.shape[1] // 4
    rows = four[:, : 2 * channels] * (1 - lower) + four[:, 2 * channels :] * lower
    return rows[:, :channels] * (1 - right) + rows[:, channels:] * right
