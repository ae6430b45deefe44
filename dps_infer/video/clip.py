"""Read the frames of one video with OpenCV.

Frames are decoded from the first one on. Seeking is avoided, because it lands on wrong frames in
some files. Skipped frames are not converted.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError
from dps_infer.files.read import open_input
from dps_infer.images.codec import silent_log


class Clip:
    """One open video.

    Attributes:
        path: the file.
        rate: frames per second.
        size: width and height in pixels, upright.
        stated: number of frames according to the file, often inexact; 0 if it is not stated.
        frames_read: number of frames read or skipped so far.
    """

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            ImageError: the file is missing, or is not a video that OpenCV can read.
        """
        # OpenCV would take any other name for a URL, a camera or a pattern of file names.
        with open_input(path, expected="a video", error=ImageError) as stream:
            if not stream.read(1):
                raise ImageError(f"{path}: the file is empty, expected a video")
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
        if not self._capture.isOpened() or 0 in self.size:
            raise ImageError(
                f"{path}: is not a video that OpenCV can read, or is damaged: convert it to MP4 "
                "or AVI"
            )
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ImageError(f"{path}: has no frame rate: convert it to MP4 or AVI")

    def read(self, frame: int) -> Pixels | None:
        """Return a frame as uint8 RGB [H, W, 3], or None if the video ends before it.

        Args:
            frame: its number, counted from 0, larger than that of the last frame read.
        """
        while self.frames_read < frame:
            if not self._capture.grab():
                return None
            self.frames_read += 1
        success, pixels = self._capture.read()
        if not success:
            return None
        self.frames_read += 1
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
