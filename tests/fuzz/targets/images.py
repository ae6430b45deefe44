"""Damaged image files."""

from __future__ import annotations

import cv2
import numpy as np
from infer_helpers import encode, make_tiff

from dps_infer.images.decode import DecodePolicy, load_picture

TEST_INPUTS = 1000
_POLICY = DecodePolicy(max_pixels=1_000_000)


def seeds() -> dict[str, bytes]:
    """Return small images of every format."""
    rows, columns = np.mgrid[0:24, 0:32]
    photo = np.stack([rows * 10, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)
    return {
        "png": encode(".png", photo),
        "jpeg": encode(".jpg", photo),
        "progressive jpeg": encode(".jpg", photo, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "webp": encode(".webp", photo),
        "bmp": encode(".bmp", photo),
        "ppm": encode(".ppm", photo),
        "tiff": make_tiff(photo),
    }


def check(data: bytes, seed: str) -> str:
    """Decode the image."""
    load_picture(data, label="image", policy=_POLICY)
    return "decoded"
