"""Open a video with PyAV if it is installed (the extra ``video``), or with OpenCV.

OpenCV reads fewer videos: those whose frames are 8 bits deep and evenly spaced in time.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dps_infer.errors import ImageError
from dps_infer.files.read import open_input
from dps_infer.video.clip import Clip


def open_clip(path: Path) -> Clip:
    """Open a video.

    Raises:
        ImageError: the file is missing, or is no video that can be read here.
    """
    # OpenCV would take any other name for a URL, a camera or a pattern of file names.
    with open_input(path, expected="a video", error=ImageError) as stream:
        if not stream.read(1):
            raise ImageError(f"{path}: the file is empty, expected a video")
    if has_pyav():
        from dps_infer.video.pyav_clip import PyAVClip

        return PyAVClip(path)
    from dps_infer.video.opencv_clip import OpenCVClip

    return OpenCVClip(path)


def has_pyav() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None
