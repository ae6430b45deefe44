"""Read the frames of a video with OpenCV.

Frames are decoded from the first one on. Seeking is avoided, because it lands on wrong frames in
some files. Skipped frames are not converted.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from dps_infer.errors import ImageError
from dps_infer.images.codec import silent_log
from dps_infer.video.clip import EPSILON, WITH_PYAV, Clip, Frame, check_size

_EIGHT_BITS = (
    *("I420", "J420", "YV12", "NV12", "NV21", "422P", "444P", "411P", "Y42B", "Y444", "GREY"),
    *("YUY2", "YUYV", "UYVY", "BGR\x18", "RGB\x18", "BGRA", "RGBA", "PAL\x08"),
    # Other backends than FFmpeg state none.
    "",
)
"""OpenCV's codes of the sample formats that it converts to 8 bits without loss of depth."""


class OpenCVClip(Clip):
    """A video that OpenCV reads: evenly spaced frames of 8 bits a sample."""

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            ImageError: OpenCV cannot read it.
        """
        # FFmpeg and OpenCV write to the process's stderr, without adding to the errors below.
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
        self.frames_read = 0
        self._first_time: float | None = None
        if not self._capture.isOpened() or 0 in self.size:
            raise ImageError(
                f"{path}: is not a video that OpenCV can read, or is damaged: {WITH_PYAV} to MP4 "
                "or AVI"
            )
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ImageError(f"{path}: has no frame rate: convert it to MP4 or AVI")
        check_size(path, *self.size)
        samples = self._code(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)
        if samples not in _EIGHT_BITS:
            raise ImageError(
                f"{path}: has samples that OpenCV does not convert faithfully, such as 10 bits: "
                f"{WITH_PYAV} to 8 bits"
            )

    def first_at(self, time: float) -> int:
        """Return the number of the first frame that begins at a time or after it."""
        return math.ceil(time * self.rate - EPSILON)

    def at(self, time: float) -> Frame | None:
        """Return the frame on display at a time; see `Clip`."""
        return self.read(math.floor(time * self.rate + EPSILON))

    def read(self, number: int) -> Frame | None:
        """Return a frame by its number; see `Clip`.

        Raises:
            ImageError: its codec is unknown to OpenCV, or the frames are not evenly spaced.
        """
        while self.frames_read <= number:
            if not self._grab():
                return None
        success, pixels = self._capture.retrieve()
        if not success:
            return None
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        return Frame(number, number / self.rate, rgb)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _grab(self) -> bool:
        """Decode the next frame; False at the end."""
        with silent_log():
            grabbed = self._capture.grab()
        if not grabbed:
            if self.frames_read == 0:
                codec = self._code(cv2.CAP_PROP_FOURCC)
                raise ImageError(
                    f"{self.path}: its codec ({codec or 'unknown'}) cannot be decoded here, or it "
                    f"has no frames: {WITH_PYAV} to H.264"
                )
            return False
        # Some backends state no times, but 0.
        time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._first_time is None:
            self._first_time = time
        spent = time - self._first_time
        if spent > 0 and abs(spent * self.rate - self.frames_read) > 0.6:
            raise ImageError(
                f"{self.path}: its frames are not evenly spaced in time (frame {self.frames_read} "
                f"is at {spent:.3f} s), and OpenCV matches frames by their numbers: {WITH_PYAV} "
                "to a constant frame rate"
            )
        self.frames_read += 1
        return True

    def _code(self, property_: int) -> str:
        """Return a property that holds a code of four letters."""
        code = int(self._capture.get(property_))
        return code.to_bytes(4, "little").decode("latin-1").rstrip("\0") if code > 0 else ""
