"""Back to pixels of 8 bits, as every stored picture has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels


def rounded(values: NDArray[Any]) -> Pixels:
    """Return values on a scale of 0 to 255 as uint8: rounded, and clipped at both ends."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
