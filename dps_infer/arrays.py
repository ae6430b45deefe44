"""Arrays that the package passes around, and the forms in which callers may give images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB images, the channel last."""

Floats = NDArray[np.float32]

ChannelOrder = Literal["rgb", "bgr"]


class ArrayLike(Protocol):
    """Whatever NumPy can read as an array, such as a tensor of PyTorch on the CPU."""

    def __array__(self) -> NDArray[Any]:
        """Return the values."""


class PillowImage(Protocol):
    """An image of Pillow."""

    @property
    def mode(self) -> str:
        """The layout of its pixels."""

    def getbands(self) -> tuple[str, ...]:
        """Return the names of its channels."""


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most this many bytes."""


@dataclass(frozen=True, kw_only=True)
class ArrayLayout:
    """How to read arrays that hold images. It does not apply to files or images of Pillow.

    Attributes:
        value_range: the values of black and white, for example ``(0, 1)``, ``(-1, 1)`` or
            ``(0, 65535)``. None accepts uint8 arrays only, whose range is ``(0, 255)``.
        channel_order: ``"rgb"``, or ``"bgr"`` for arrays from OpenCV. None is RGB, but refuses
            a pair that fits much better with the channels of one image reversed.
        channel_last: shapes are [height, width, channels]; False for [channels, height, width],
            as in PyTorch.
    """

    value_range: tuple[float, float] | None = None
    channel_order: ChannelOrder | None = None
    channel_last: bool = True
