"""Names for the NumPy arrays that the package passes around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB images, the channel last."""

Floats = NDArray[np.float32]
