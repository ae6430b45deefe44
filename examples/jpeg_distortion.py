"""JPEG compression as a custom distortion; docs/custom-distortions.md explains it.

dps-train --distortions examples/jpeg_distortion.py --ranking jpeg,color,translate,blur
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_train.custom import distortion


@distortion(
    unit="coarseness, 1 at quality 50, 10 at quality 5",
    range=(1, 10),
    threshold=0.2,
    reference=2,
)
def jpeg(pixels: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Compress with quantization steps `strength` times as coarse as those of quality 50."""
    # Quality is no strength: below and above 50 it changes the steps by different formulas.
    quality = 50 / strength if strength > 1 else 100 - 50 * strength
    option = [cv2.IMWRITE_JPEG_QUALITY, max(1, round(quality))]
    # Distortions get RGB; OpenCV expects BGR.
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], option)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)
