"""Dead leaves: images of opaque shapes of every size that occlude one another.

Like natural photographs they have occlusions, sharp edges and scale-invariant statistics (Lee,
Mumford, Huang, "Occlusion models for natural images", IJCV 2001), and they need no download.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from dps_infer.arrays import Floats, Pixels

SMALLEST_RADIUS = 2.0
LARGEST_RADIUS = 100.0


def dead_leaves(side: int, generator: torch.Generator, *, leaves: int = 1500) -> Pixels:
    """Draw one image uint8 RGB [side, side, 3]; later leaves cover earlier ones."""
    numbers = torch.rand(leaves, 10, generator=generator, dtype=torch.float64).numpy()
    # Scale invariance needs radii with density r^-3: draw them by the inverse of its integral.
    small, large = SMALLEST_RADIUS**-2, LARGEST_RADIUS**-2
    radii = (large + numbers[:, 0] * (small - large)) ** -0.5
    palette = torch.rand(12, 3, generator=generator, dtype=torch.float64).numpy() * 255
    image = np.full((side, side, 3), palette[0], dtype=np.float32)
    for (_, x, y, shape, stretch, angle, tone, red, green, blue), radius in zip(
        numbers, radii, strict=True
    ):
        base = palette[int(tone * len(palette))]
        color = np.clip(base + 40 * (np.array([red, green, blue]) - 0.5), 0, 255).tolist()
        center = (int(x * side), int(y * side))
        axes = (max(1, round(radius)), max(1, round(radius * (0.3 + 0.7 * stretch))))
        if shape < 0.5:
            cv2.ellipse(image, center, axes, angle * 180, 0, 360, color, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((center, (2.0 * axes[0], 2.0 * axes[1]), angle * 180))
            cv2.fillConvexPoly(image, box.astype(np.int32), color, cv2.LINE_AA)
    return _shade(image, generator)


def _shade(image: Floats, generator: torch.Generator) -> Pixels:
    """Add a gradient of light and grain, so that surfaces are not flat."""
    angle, depth, noise = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    axis = np.linspace(-0.5, 0.5, len(image), dtype=np.float32)
    slope = axis[None, :] * math.cos(2 * math.pi * angle) + axis[:, None] * math.sin(
        2 * math.pi * angle
    )
    lit = image * (1 + depth * slope)[..., None]
    grain = torch.randn(image.shape, generator=generator).numpy() * (6 * noise)
    return np.clip(np.rint(lit + grain), 0, 255).astype(np.uint8)
