"""Features of a reference image, kept for the next of its candidates.

Caching never changes a result: only values that a run would compute again are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_PIXELS = 1 << 21
"""Largest reference that is cached: features of the embedded metric take 40 bytes a pixel, those
of SqueezeNet 100."""

FEWEST_CANDIDATES = 8
"""With fewer candidates, opening the sessions for it takes longer than it saves."""


class ReferenceFeatures:
    """Tensors that engines computed from one image.

    Attributes:
        values: tensors by name, per engine and outputs that they serve.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.values: dict[tuple[int, tuple[str, ...]], Mapping[str, NDArray[Any]]] = {}


class ReferenceCache:
    """Keeps the features of the last reference that several candidates share."""

    def __init__(self) -> None:
        """Start empty."""
        self._pixels: NDArray[np.uint8] | None = None
        self._features = ReferenceFeatures()

    def features_of(self, pixels: NDArray[np.uint8], candidates: int) -> ReferenceFeatures | None:
        """Return the cached features of a reference; None if caching does not pay.

        Args:
            pixels: the reference, the same array for all its candidates.
            candidates: its candidates among the pairs that are compared at a time.
        """
        height, width, _ = pixels.shape
        if candidates < FEWEST_CANDIDATES or height * width > MOST_PIXELS:
            return None
        if pixels is not self._pixels:
            self._pixels, self._features = pixels, ReferenceFeatures()
        return self._features
