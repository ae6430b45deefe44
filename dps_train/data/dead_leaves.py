"""Dead leaves: opaque shapes of every size thrown on one another.

The model shares with natural photographs the occlusions, the sharp edges and the
scale-invariant statistics (Lee, Mumford, Huang, "Occlusion models for natural images",
IJCV 2001), and any number of them can be made without a download.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

SMALLEST_RADIUS = 2.0
LARGEST_RADIUS = 100.0


def dead_leaves(side: int, generator: torch.Generator, *, leaves: int = 1500) -> NDArray[np.uint8]:
    """Draw one image.

    Args:
        side: width and height in pixels.
        generator: source of everything random.
        leaves: how many shapes; the last ones lie on top.

    Returns:
        uint8 RGB [side, side, 3].
    """
    numbers = torch.rand(leaves, 10, generator=generator, dtype=torch.float64).numpy()
    # A scale-invariant image needs radii with density r^-3: draw them by its inverse.
    small, large = SMALLEST_RADIUS**-2, LARGEST_RADIUS**-2
    radii = (large + numbers[:, 0] * (small - large)) ** -0.5
    palette = torch.rand(12, 3, generator=generator, dtype=torch.float64).numpy() * 255
    image = np.full((side, side, 3), palette[0], dtype=np.float32)
    for (_, x, y, shape, stretch, angle, tone, red, green, blue), radius in zip(
        numbers, radii, strict=True
    ):
        base = palette[int(tone * len(palette))]
        colour = np.clip(base + 40 * (np.array([red, green, blue]) - 0.5), 0, 255).tolist()
        centre = (int(x * side), int(y * side))
        axes = (max(1, round(radius)), max(1, round(radius * (0.3 + 0.7 * stretch))))
        if shape < 0.5:
            cv2.ellipse(image, centre, axes, angle * 180, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, (2.0 * axes[0], 2.0 * axes[1]), angle * 180))
            cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
    return _shade(image, generator)


def _shade(image: NDArray[np.float32], generator: torch.Generator) -> NDArray[np.uint8]:
    """Lay a soft light across, so that surfaces are not flat."""
    angle, depth, noise = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    axis = np.linspace(-0.5, 0.5, len(image), dtype=np.float32)
    slope = axis[None, :] * math.cos(2 * math.pi * angle) + axis[:, None] * math.sin(
        2 * math.pi * angle
    )
    lit = image * (1 + depth * slope)[..., None]
    grain = torch.randn(image.shape, generator=generator).numpy() * (6 * noise)
    return np.clip(np.rint(lit + grain), 0, 255).astype(np.uint8)
