"""The call into OpenCV that decodes, kept quiet and made to tell of damage.

OpenCV's codecs write warnings straight to the process's stderr, and libjpeg's are the
only sign that it made up the end of a damaged image. So the file descriptor is turned
aside during the call, one decode at a time, and what the codec said is returned. Lines
that no codec writes, from another thread at that moment, are passed on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

_LOCK = threading.Lock()
_STDERR = 2
_LIBJPEG = (
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
)
"""How libjpeg's warnings begin. It prints the first one of an image and no other."""
_OTHERS = ("libpng ", "[ WARN:", "[ERROR:")


def decode(data: bytes) -> tuple[NDArray[np.generic] | None, list[str]]:
    """Decode one image as it is stored: depth, alpha and orientation are kept.

    Args:
        data: an encoded image that `dps_infer.headers` has found sound.

    Returns:
        Pixels [H, W], [H, W, 3] in BGR or [H, W, 4] in BGRA order, or None if OpenCV
        cannot decode them; and what libjpeg warned of.
    """
    lines: list[bytes] = []
    with _LOCK, _silent_log(), _captured_stderr(lines):
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            pixels = None
    warnings = []
    for line in lines:
        text = line.decode(errors="replace")
        if text.startswith(_LIBJPEG):
            warnings.append(text)
        elif not text.startswith(_OTHERS):
            with contextlib.suppress(OSError):
                os.write(_STDERR, line + b"\n")
    return pixels, warnings


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """Silence OpenCV's own log, and restore its level: it belongs to the whole process."""
    # OpenCV 5 moved these functions.
    log = getattr(cv2.utils, "logging", cv2)
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


@contextlib.contextmanager
def _captured_stderr(lines: list[bytes]) -> Iterator[None]:
    """Collect what is written to file descriptor 2 meanwhile; do nothing where that fails."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(_STDERR)
    except (OSError, ValueError):
        yield
        return
    reader, writer = os.pipe()
    try:
        # A codec that says more than a pipe holds loses the rest, rather than stopping.
        if hasattr(os, "set_blocking"):
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
            os.dup2(writer, _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
        os.close(writer)
        with contextlib.suppress(BlockingIOError), os.fdopen(reader, "rb") as stream:
            lines.extend(line for line in (stream.read() or b"").splitlines() if line.strip())
