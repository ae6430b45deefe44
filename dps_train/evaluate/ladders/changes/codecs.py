"""Changes by lossy compression: a photograph is encoded and decoded again."""

from __future__ import annotations

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_train.evaluate.ladders.photographs import Photograph

AVIF_QUALITY = getattr(cv2, "IMWRITE_AVIF_QUALITY", 0)
"""Older builds of OpenCV lack it, and have no AVIF encoder either."""


def jpeg(photograph: Photograph, quality: float) -> Pixels:
    """Encode as baseline JPEG with 4:2:0 chroma, quality 1 to 100."""
    return _through(photograph.pixels, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)


def webp(photograph: Photograph, quality: float) -> Pixels:
    """Encode as lossy WebP, quality 1 to 100."""
    return _through(photograph.pixels, ".webp", cv2.IMWRITE_WEBP_QUALITY, quality)


def avif(photograph: Photograph, quality: float) -> Pixels:
    """Encode as AVIF, quality 1 to 99."""
    return _through(photograph.pixels, ".avif", AVIF_QUALITY, quality)


def missing_encoder(name: str) -> str | None:
    """Return why a kind of change cannot be made here; None where it can, or is no codec."""
    if name in ("webp", "avif") and not cv2.haveImageWriter(f"x.{name}"):
        return f"this build of OpenCV has no {name.upper()} encoder"
    return None


def _through(pixels: Pixels, suffix: str, option: int, quality: float) -> Pixels:
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    done, data = cv2.imencode(suffix, bgr, [option, round(quality)])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise RuntimeError(f"OpenCV cannot encode and decode a {suffix} of {pixels.shape}")
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
