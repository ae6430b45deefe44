"""Ladders of well-known changes, which context files hold to read distances beside."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from dps_infer.arrays import Pixels
from dps_infer.model.manifest import Ladder
from dps_train.data.sources import HELD_OUT_PHOTOGRAPHS, photograph
from dps_train.model.change.change_metric import ChangeMetric

SIDE = 256
"""Side in pixels of the parts of photographs."""

PARTS = ((0.0, 0.0), (0.5, 0.5), (1.0, 0.3))
"""Where the parts lie in a photograph: down and across, from 0 to 1."""

DIGITS = 5


def _jpeg(pixels: Pixels, quality: float) -> Pixels:
    options = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), options)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def _blur(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _noise(pixels: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(0).standard_normal(pixels.shape)
    return np.clip(np.rint(pixels + sigma * noise), 0, 255).astype(np.uint8)


def _darker(pixels: Pixels, percent: float) -> Pixels:
    return np.clip(np.rint(pixels * (1 - percent / 100)), 0, 255).astype(np.uint8)


LADDERS: dict[str, tuple[Callable[[Pixels, float], Pixels], tuple[float, ...]]] = {
    "JPEG quality": (_jpeg, (97, 95, 90, 85, 80, 70, 60, 50, 40, 30, 20, 15, 10, 5)),
    "blur of sigma": (_blur, (0.4, 0.6, 0.8, 1, 1.4, 2, 3, 4.5, 7, 10)),
    "noise of sigma": (_noise, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)),
    "darkening by percent": (_darker, (2, 4, 7, 10, 15, 20, 30, 40, 50, 60, 75, 90)),
}
"""By name: the change, and its steps, the faintest first."""


def anchor_parts() -> list[Pixels]:
    """Return the parts of held-out photographs that the ladders start from: [SIDE, SIDE, 3]."""
    return [_part(photograph(name), *place) for name in HELD_OUT_PHOTOGRAPHS for place in PARTS]


@torch.no_grad()
def anchor_ladders(metric: ChangeMetric) -> list[Ladder]:
    """Return the amounts that a metric reports for each step of each ladder."""
    parts = anchor_parts()
    reference = torch.from_numpy(np.stack(parts))
    found = []
    for name, (change, steps) in LADDERS.items():
        rows = []
        for step in steps:
            changed = torch.from_numpy(np.stack([change(part, step) for part in parts]))
            amounts, _ = metric.read(reference, changed)
            rows.append([[float(f"{v:.{DIGITS}g}") for v in row] for row in amounts.cpu().tolist()])
        found.append(Ladder(name=name, steps=[float(step) for step in steps], amounts=rows))
    return found


def _part(image: Pixels, down: float, across: float) -> Pixels:
    top, left = (
        round(share * (length - SIDE))
        for share, length in zip((down, across), image.shape[:2], strict=True)
    )
    return np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])
