"""Videos as pairs of frames that belong together, read one after the other.

Frames are decoded by OpenCV, from the first on: seeking lands on other frames in some
files, and skipping does not. Frames that are not asked for are not converted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.codec import silent_log

_EPSILON = 1e-6
"""Of a frame: times such as 0.3 s must not fall before the frame that begins there."""


@dataclass(frozen=True)
class Sampling:
    """Which frames are compared.

    Attributes:
        every: each so-many-th frame; the frame rates of the videos must agree.
        fps: instead: so many frames a second of time, whatever the videos' own rates.
        start: in seconds.
        duration: in seconds; None for all the rest.
    """

    every: int | None = None
    fps: float | None = None
    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.every is not None and self.fps is not None:
            raise UsageError("--every and --fps say the same thing in two ways: give one")
        if self.every is not None and self.every < 1:
            raise UsageError(f"expected every 1st frame or fewer, got every {self.every}")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"expected a number of frames a second above 0, got {self.fps}")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise UsageError(f"expected a start >= 0 seconds, got {self.start}")
        if self.duration is not None and not self.duration > 0:
            raise UsageError(f"expected a duration above 0 seconds, got {self.duration}")


EVERY_FRAME = Sampling()


@dataclass(frozen=True, eq=False)
class FramePair:
    """Two frames that belong together.

    Attributes:
        frame: number of the reference's frame, counted from 0.
        time: of it in seconds.
        reference: uint8 RGB [H, W, 3].
        candidate: likewise.
    """

    frame: int
    time: float
    reference: Pixels
    candidate: Pixels


class Clip:
    """One open video.

    Attributes:
        path: the file.
        rate: frames a second.
        size: width and height in pixels, upright.
        stated: how many frames the file says it has; only a hint, and 0 if it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            ImageError: it is missing, or no video that OpenCV reads.
        """
        # Whatever is no file, OpenCV takes for an address, a camera or a pattern of names.
        _check_file(path)
        # FFmpeg's and OpenCV's complaints go to the process's stderr, and say no more than
        # the errors below.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        ffmpeg = cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG)
        with silent_log():
            self._capture = cv2.VideoCapture(
                os.fspath(path), cv2.CAP_FFMPEG if ffmpeg else cv2.CAP_ANY
            )
        self.path = path
        self.rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self.stated = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._position = 0
        if not self._capture.isOpened() or 0 in self.size:
            raise ImageError(
                f"{path}: is no video that OpenCV reads, or it is damaged: convert it to MP4 or AVI"
            )
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ImageError(f"{path}: states no frame rate: convert it to MP4 or AVI")

    def read(self, frame: int) -> Pixels | None:
        """Return a frame, uint8 RGB [H, W, 3]; None if the video ends before it.

        Args:
            frame: its number, larger than that of the frame that was read before.
        """
        while self._position < frame:
            if not self._capture.grab():
                return None
            self._position += 1
        done, pixels = self._capture.read()
        if not done:
            return None
        self._position += 1
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    @property
    def frames_read(self) -> int:
        """How many frames were read or passed over."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class ClipPair:
    """Two videos, frame by frame.

    Attributes:
        reference: the first one.
        candidate: the second one.
        remark: after the last pair, in one line, which of them ended before the other, or
            before the end that it states; else None.
    """

    def __init__(
        self,
        reference: str | os.PathLike[str],
        candidate: str | os.PathLike[str],
        sampling: Sampling = EVERY_FRAME,
        *,
        resize: bool = False,
    ) -> None:
        """Open both videos.

        Args:
            reference: a file.
            candidate: a file.
            sampling: which frames to compare.
            resize: allow different sizes.

        Raises:
            ImageError: one cannot be read, or their sizes or frame rates do not fit.
            UsageError: more frames a second are asked for than there are.
        """
        self.reference, self.candidate = Clip(Path(reference)), Clip(Path(candidate))
        self.remark: str | None = None
        self._sampling = sampling
        clips = (self.reference, self.candidate)
        if self.reference.size != self.candidate.size and not resize:
            sizes = (f"{clip.path} is {clip.size[0]}x{clip.size[1]}" for clip in clips)
            raise ImageError(
                f"the sizes differ: {', '.join(sizes)} (width x height): crop one, or ask for a "
                "resize (--resize)"
            )
        rates = " and ".join(f"{clip.path} has {clip.rate:g}" for clip in clips)
        slowest = min(clip.rate for clip in clips)
        if sampling.fps is None:
            if not math.isclose(self.reference.rate, self.candidate.rate, rel_tol=1e-3):
                raise ImageError(
                    f"the frame rates differ: {rates} frames a second: match them by time with "
                    f"--fps {slowest:g}, or fewer"
                )
        elif sampling.fps > slowest * (1 + 1e-3):
            raise UsageError(f"--fps {sampling.fps:g} is more than there are: {rates}")

    def expected(self) -> int:
        """Return how many pairs there will be, as far as the files say; 0 if they do not."""
        sampling, clips = self._sampling, (self.reference, self.candidate)
        end = min(clip.stated / clip.rate for clip in clips)
        if sampling.duration is not None:
            end = min(end, sampling.start + sampling.duration)
        if sampling.fps is not None:
            return max(0, math.ceil((end - sampling.start) * sampling.fps - _EPSILON))
        rate = self.reference.rate
        first = math.ceil(sampling.start * rate - _EPSILON)
        return len(range(first, math.ceil(end * rate - _EPSILON), sampling.every or 1))

    def __iter__(self) -> Iterator[FramePair]:
        """Yield the pairs; once only."""
        for frame, other, time in self._wanted():
            first, second = self.reference.read(frame), self.candidate.read(other)
            if first is None or second is None:
                self._remark_on_end(first is None, second is None)
                break
            yield FramePair(frame, time, first, second)
        self.reference.close()
        self.candidate.close()

    def _wanted(self) -> Iterator[tuple[int, int, float]]:
        """Yield the numbers of the two frames, and the time of the first."""
        sampling, rate = self._sampling, self.reference.rate
        end = math.inf if sampling.duration is None else sampling.start + sampling.duration
        if sampling.fps is None:
            first = math.ceil(sampling.start * rate - _EPSILON)
            for frame in count(first, sampling.every or 1):
                if frame / rate >= end - _EPSILON / rate:
                    return
                yield frame, frame, frame / rate
        else:
            for step in count():
                time = sampling.start + step / sampling.fps
                if time >= end - _EPSILON / rate:
                    return
                # The frame that is seen at that time.
                frame = math.floor(time * rate + _EPSILON)
                other = math.floor(time * self.candidate.rate + _EPSILON)
                yield frame, other, frame / rate

    def _remark_on_end(self, first_ended: bool, second_ended: bool) -> None:
        pair = (self.reference, self.candidate)
        if first_ended != second_ended:
            short, long = pair if first_ended else pair[::-1]
            self.remark = (
                f"{short.path} ends after {short.frames_read} frames, and {long.path} goes on: "
                "the rest was not compared"
            )
            return
        first, second = (clip.frames_read / clip.rate for clip in pair)
        # Between the frames that are compared, one may end before the other. At different
        # rates the same time is seldom a whole number of frames.
        same = math.isclose(*(clip.rate for clip in pair), rel_tol=1e-3)
        if abs(first - second) > (0.5 if same else 1.0) / min(clip.rate for clip in pair):
            self.remark = "the lengths differ: " + ", ".join(
                f"{clip.path} has {clip.frames_read} frames" for clip in pair
            )
            return
        for clip in pair:
            # Files state their length loosely; a tenth is more than that.
            if clip.frames_read < 0.9 * clip.stated:
                self.remark = (
                    f"{clip.path} states {clip.stated} frames, of which {clip.frames_read} could "
                    "be read: it may be damaged"
                )


def _check_file(path: Path) -> None:
    """Say what is wrong with a file that cannot be opened at all."""
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise ImageError(f"{path}: the file is empty, expected a video")
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file, expected a video") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: is a folder, expected a video") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be read ({reason}), expected a video") from None
