"""What was computed of a reference, kept for the next of its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dps_infer.images.decode import Pixels

MOST_PIXELS = 1 << 21
"""Of a reference that is remembered: the features of larger ones take too much memory. Those of
the embedded metric take 40 bytes a pixel, those of SqueezeNet 100."""

FEWEST_CANDIDATES = 8
"""For fewer it takes longer to open sessions of their own than to compute the reference again."""


class Remembered:
    """What engines computed of one image, which must stay the same.

    Attributes:
        values: by the engine and the outputs that they are for, tensors by name.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.values: dict[tuple[int, tuple[str, ...]], Mapping[str, NDArray[Any]]] = {}
        self._parts: dict[int, Remembered] = {}

    def part(self, number: int) -> Remembered:
        """Return what is remembered of a part of the image."""
        return self._parts.setdefault(number, Remembered())


class References:
    """Remembers the last reference that several candidates share.

    What is remembered is what would be computed: so a pair's numbers follow from the pairs that
    are compared at a time, and not from earlier ones.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._pixels: Pixels | None = None
        self._remembered = Remembered()

    def of(self, pixels: Pixels, candidates: int) -> Remembered | None:
        """Return what is remembered of a reference; None where that does not pay.

        Args:
            pixels: of the reference, the same array for all its candidates.
            candidates: how many it has among the pairs that are compared at a time.
        """
        height, width, _ = pixels.shape
        if candidates < FEWEST_CANDIDATES or height * width > MOST_PIXELS:
            return None
        if pixels is not self._pixels:
            self._pixels, self._remembered = pixels, Remembered()
        return self._remembered
