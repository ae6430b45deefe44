"""Read the frames of a video with PyAV: with their own times, and in any sample format."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError
from dps_infer.images.formats.color import HDR_TRANSFERS
from dps_infer.video.clip import Clip, Frame, check_size

_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,flv,asf,nut,"
    "mxf,yuv4mpegpipe,gif,apng,dv,rm"
)
"""Formats that hold their own frames. Playlists, which name other files, are none of them."""

_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
"""Otherwise the conversion to RGB depends on the depth of the samples and on the processor."""


class PyAVClip(Clip):
    """A video that PyAV reads."""

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            ImageError: it is no video, has no decoder here, or is damaged at its start.
        """
        av.logging.set_level(None)
        self.path = path
        try:
            # FFmpeg must not open other files that this one names.
            options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
            self._container = av.open(f"file:{path}", options=options)
        except (av.FFmpegError, ValueError) as error:
            raise ImageError(
                f"{path}: is not a video that PyAV can read, or is damaged ({_words(error)}): "
                "convert it to MP4"
            ) from None
        if not self._container.streams.video:
            raise ImageError(f"{path}: has no video stream, expected a video")
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise ImageError(f"{path}: its codec cannot be decoded here: convert it to H.264")
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise ImageError(f"{path}: has no frame rate: convert it to MP4")
        self.rate = float(rate)
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        self.stated = stream.frames or _stated(stream, self.rate)
        self.frames_read = 0
        self._start = 0.0
        self._decoded = self._decode(stream)
        self._ahead = next(self._decoded, None)
        self._current: tuple[int, float, Any] | None = None
        if self._ahead is None:
            raise ImageError(
                f"{path}: no frame of it can be decoded ({self.fault or 'it has none'}): convert "
                "it to H.264"
            )
        first = self._ahead[2]
        turned = round(first.rotation / 90) % 2 == 1
        self.size = (first.height, first.width) if turned else (first.width, first.height)

    def first_at(self, time: float) -> int:
        """Return the number of the first frame that begins at a time or after it."""
        while self._ahead is not None and self._ahead[1] < time - self.tolerance:
            self._advance()
        # Behind the last frame, there is none of this number.
        return self.frames_read if self._ahead is None else self._ahead[0]

    def read(self, number: int) -> Frame | None:
        """Return a frame by its number; see `Clip`."""
        while self._ahead is not None and (self._current is None or self._current[0] < number):
            self._advance()
        if self._current is None or self._current[0] < number:
            return None
        return self._frame()

    def at(self, time: float) -> Frame | None:
        """Return the frame on display at a time; see `Clip`."""
        while self._ahead is not None and (
            self._current is None or self._ahead[1] <= time + self.tolerance
        ):
            self._advance()
        if self._current is None:
            return None
        if self._ahead is None and time >= self._end() - self.tolerance:
            return None
        return self._frame()

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()
        self._container.close()

    def _advance(self) -> None:
        self._current, self._ahead = self._ahead, next(self._decoded, None)

    def _end(self) -> float:
        """Return the time at which the current frame, the last one, ends."""
        assert self._current is not None
        _, begin, frame = self._current
        lasts = float(frame.duration * frame.time_base) if frame.duration else 0.0
        return begin + (lasts if lasts > 0 else 1 / self.rate)

    def _frame(self) -> Frame:
        assert self._current is not None
        number, time, frame = self._current
        return Frame(number, time, self._pixels(frame))

    def _decode(self, stream: Any) -> Generator[tuple[int, float, Any], None, None]:
        """Yield number, time and frame; at damage, set the fault and end."""
        before = -math.inf
        try:
            for frame in self._container.decode(stream):
                if frame.is_corrupt:
                    self.fault = f"frame {self.frames_read} is damaged"
                    return
                time = self.frames_read / self.rate if frame.time is None else float(frame.time)
                if self.frames_read == 0:
                    self._start = time
                time -= self._start
                if time <= before:
                    self.fault = f"the time of frame {self.frames_read} is not after the one before"
                    return
                before = time
                number = self.frames_read
                self.frames_read += 1
                yield number, time, frame
        except (av.FFmpegError, ValueError) as error:
            self.fault = _words(error)

    def _pixels(self, frame: Any) -> Pixels:
        """Convert a frame to uint8 RGB, upright.

        Raises:
            ImageError: it is of high dynamic range, or of another size than the first one.
        """
        transfer = HDR_TRANSFERS.get(int(frame.color_trc))
        if transfer is not None:
            raise ImageError(
                f"{self.path}: is of high dynamic range ({transfer}), expected standard range: "
                "convert it first"
            )
        rgb = frame.reformat(format="rgb24", interpolation=_ACCURATE).to_ndarray()
        upright = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))
        if upright.shape[1::-1] != self.size:
            raise ImageError(
                f"{self.path}: frame {self.frames_read} is {upright.shape[1]}x{upright.shape[0]}, "
                f"the first one {self.size[0]}x{self.size[1]}: cut the video where its size changes"
            )
        return np.asarray(upright, np.uint8)


def _stated(stream: Any, rate: float) -> int:
    """Return the number of frames that the length of a stream stands for."""
    if stream.duration is None or stream.time_base is None:
        return 0
    return max(0, round(float(stream.duration * stream.time_base) * rate))


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
