"""Decode encoded images with simplejpeg and OpenCV, quietly, and report libjpeg's warnings.

simplejpeg is faster than OpenCV and gives the same pixels. In its strict mode it refuses whatever
libjpeg warns about, and those warnings are the only sign that libjpeg made up part of a damaged
image. It also refuses some chroma subsamplings. OpenCV decodes those images, and all other
formats.

OpenCV's libraries write their warnings to the process's stderr, so the file descriptor is diverted
into a file while they decode. Lines that no codec wrote, for example those of another thread, are
passed on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

_STDERR = 2
_LIBJPEG = (
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
)
"""How libjpeg's warnings begin. It prints only the first one of an image."""
_OTHER_CODECS = ("libpng ", "[ WARN:", "[ERROR:")

Samples = NDArray[np.generic]


def decode(data: bytes) -> tuple[tuple[Samples, Samples | None] | None, list[str]]:
    """Decode one image and keep its sample depth, alpha and orientation.

    Args:
        data: an encoded image that `dps_infer.images.headers` has accepted.

    Returns:
        - The image, or None if it cannot be decoded: gray [H, W] or RGB [H, W, 3] samples, and the
          alpha samples [H, W] or None.
        - libjpeg's warnings.
    """
    if not data.startswith(b"\xff\xd8"):
        return _decode_with_opencv(data), []
    try:
        return (simplejpeg.decode_jpeg(data), None), []
    except ValueError:
        # One JPEG image at a time, so that the warnings are known to be about this one.
        with _ONE_JPEG:
            image = _decode_with_opencv(data)
            return image, _DIVERSION.take_warnings()


_ONE_JPEG = threading.Lock()


def _decode_with_opencv(data: bytes) -> tuple[Samples, Samples | None] | None:
    try:
        with _DIVERSION.active():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim == 2:
            return None if pixels is None else (pixels, None)
        if pixels.shape[2] == 4:
            return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), pixels[:, :, 3]
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), None
    except cv2.error:
        return None


@contextlib.contextmanager
def silent_log() -> Iterator[None]:
    """Silence OpenCV's own log, then restore its level, which the whole process shares."""
    # OpenCV 5 moved these functions.
    log = getattr(cv2.utils, "logging", cv2)
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


class _Diversion:
    """The process's stderr, diverted into a file while any thread decodes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoding = 0
        self._undo = contextlib.ExitStack()
        self._saved = self._file = -1
        self._position = 0
        self._warnings: list[str] = []

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Divert stderr during the block."""
        with self._lock:
            if self._decoding == 0:
                self._undo.enter_context(silent_log())
                self._divert()
            self._decoding += 1
        try:
            yield
        finally:
            with self._lock:
                self._sort_lines()
                self._decoding -= 1
                if self._decoding == 0:
                    self._undo.close()

    def take_warnings(self) -> list[str]:
        """Return libjpeg's warnings since the last call."""
        with self._lock:
            warnings, self._warnings = self._warnings, []
        return warnings

    def _divert(self) -> None:
        """Divert the file descriptor, where the system can and stderr is open."""
        if not hasattr(os, "pread"):
            return
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            self._saved = os.dup(_STDERR)
        except (OSError, ValueError):
            return
        # A file, since whoever writes to a full pipe would block or fail.
        self._file, self._position = _unnamed_file(), 0
        os.dup2(self._file, _STDERR)
        self._undo.callback(self._restore)

    def _restore(self) -> None:
        os.dup2(self._saved, _STDERR)
        # Another thread may have written since the lines were last sorted.
        self._sort_lines()
        os.close(self._saved)
        os.close(self._file)
        self._file = -1

    def _sort_lines(self) -> None:
        """Read the lines written since the last call: keep libjpeg's, pass on strangers'."""
        if self._file < 0:
            return
        chunks = []
        # Others write at the file's own position, so it must not move.
        while chunk := os.pread(self._file, 1 << 16, self._position):
            self._position += len(chunk)
            chunks.append(chunk)
        for line in b"".join(chunks).splitlines(keepends=True):
            text = line.decode(errors="replace").rstrip()
            if text.startswith(_LIBJPEG):
                self._warnings.append(text)
            elif text and not text.startswith(_OTHER_CODECS):
                with contextlib.suppress(OSError):
                    os.write(self._saved, line)


_DIVERSION = _Diversion()


def _unnamed_file() -> int:
    """Open a file that no other process sees, in memory where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("dps-infer")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
