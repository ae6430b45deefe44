"""The pictures of the demo: a photograph that comes with the package, and two changed copies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.images.decode import load_picture

PHOTOGRAPH = Path(__file__).with_name("photograph.jpg")
"""Part of ``chelsea`` from scikit-image (CC0)."""

SHIFT = (5, 3)
"""Right and down, in pixels."""
HUE_TURN = 12
"""In steps of OpenCV, 180 to the full circle."""

REFERENCE, SHIFTED, RECOLORED = "reference", "shifted", "recolored"


def draw_pictures() -> dict[str, Pixels]:
    """Return the reference and its two changed copies by name, uint8 RGB of one size."""
    reference = load_picture(PHOTOGRAPH, label=REFERENCE).color
    height, width = reference.shape[:2]
    matrix = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]], np.float32)
    shifted = cv2.warpAffine(reference, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    hsv = cv2.cvtColor(reference, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + HUE_TURN) % 180
    return {
        REFERENCE: reference,
        SHIFTED: np.asarray(shifted, np.uint8),
        RECOLORED: np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8),
    }
