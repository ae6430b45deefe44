"""One open video: its frames in their order, each with its own time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError
from dps_infer.extras import install
from dps_infer.images.decode import DEFAULT_POLICY

WITH_PYAV = f"install PyAV, which may read it ({install('video')}), or convert it"

EPSILON = 1e-6
"""Fraction of a frame. A time such as 0.3 s must not fall before the frame that begins there."""

LARGEST_ROUNDING = 0.0015
"""Seconds by which the stated time of a frame may be off: some formats state milliseconds."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        number: counted from 0.
        time: seconds from the first frame.
        pixels: uint8 RGB [H, W, 3], upright.
    """

    number: int
    time: float
    pixels: Pixels


class Clip(ABC):
    """One open video. Frames are read in their order: no call may go back.

    Attributes:
        path: the file.
        rate: mean number of frames per second.
        size: width and height in pixels, upright.
        stated: number of frames according to the file, often inexact; 0 if it is not stated.
        frames_read: number of frames read or skipped so far.
        fault: why the frames end before the video does; None if they do not.
    """

    path: Path
    rate: float
    size: tuple[int, int]
    stated: int
    frames_read: int
    fault: str | None = None

    @property
    def tolerance(self) -> float:
        """Seconds by which two videos of this rate may disagree on the time of a frame."""
        return min(LARGEST_ROUNDING, 0.25 / self.rate)

    @abstractmethod
    def first_at(self, time: float) -> int:
        """Return the number of the first frame that begins at a time or after it."""

    @abstractmethod
    def read(self, number: int) -> Frame | None:
        """Return a frame by its number, or None if the video ends before it."""

    @abstractmethod
    def at(self, time: float) -> Frame | None:
        """Return the frame on display at a time, or None if the video has ended by then."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse frames that are too large.

    Raises:
        ImageError: they have more pixels than an image may have.
    """
    if width * height > DEFAULT_POLICY.max_pixels:
        raise ImageError(
            f"{path}: has frames of {width}x{height} pixels, more than the limit of "
            f"{DEFAULT_POLICY.max_pixels / 1e6:g} million: use a smaller video"
        )
