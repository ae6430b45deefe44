"""The call into OpenCV that decodes, kept quiet and made to tell of damage.

OpenCV's codecs write warnings straight to the process's stderr, and libjpeg's are the
only sign that it made up the end of a damaged image. So the file descriptor is turned
aside while images are decoded. Several threads may decode at a time. If libjpeg said
something meanwhile, which is rare, each of them decodes its image once more, alone, to
tell whose it is. Lines that no codec writes, from another thread at that moment, are
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
"""How libjpeg's warnings begin. It prints the first one of an image and no other."""
_OTHERS = ("libpng ", "[ WARN:", "[ERROR:")


def decode(data: bytes) -> tuple[NDArray[np.generic] | None, list[str]]:
    """Decode one image as it is stored: depth, alpha and orientation are kept.

    Args:
        data: an encoded image that `dps_infer.images.headers` has found sound.

    Returns:
        Pixels [H, W], [H, W, 3] in BGR or [H, W, 4] in BGRA order, or None if OpenCV
        cannot decode them; and what libjpeg warned of.
    """
    with _LISTENER.listening() as warnings:
        pixels = _decoded(data)
    if warnings:
        with _LISTENER.listening(alone=True) as warnings:
            pixels = _decoded(data)
    return pixels, warnings


def _decoded(data: bytes) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


class _Listener:
    """Hears what codecs say while threads decode."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._decoding = 0
        self._alone = False
        self._waiting_alone = 0
        self._warnings: list[str] = []
        self._capture = contextlib.ExitStack()
        self._stderr: _Stderr | None = None

    @contextlib.contextmanager
    def listening(self, *, alone: bool = False) -> Iterator[list[str]]:
        """Give a list that holds, after the block, what libjpeg warned of during it."""
        heard: list[str] = []
        with self._changed:
            self._enter(alone)
            before = len(self._warnings)
        try:
            yield heard
        finally:
            with self._changed:
                self._hear()
                heard.extend(self._warnings[before:])
                self._leave()

    def _enter(self, alone: bool) -> None:
        if alone:
            self._waiting_alone += 1
            self._changed.wait_for(lambda: self._decoding == 0)
            self._waiting_alone -= 1
        else:
            # Who has to decode alone comes first, or might wait for ever.
            self._changed.wait_for(lambda: not self._alone and not self._waiting_alone)
        self._alone = alone
        if self._decoding == 0:
            self._capture.enter_context(silent_log())
            self._stderr = self._capture.enter_context(_captured_stderr())
        self._decoding += 1

    def _leave(self) -> None:
        self._decoding -= 1
        if self._decoding == 0:
            self._capture.close()
            self._warnings.clear()
        self._alone = False
        self._changed.notify_all()

    def _hear(self) -> None:
        if self._stderr is None:
            return
        for line in self._stderr.read().splitlines():
            text = line.decode(errors="replace")
            if text.startswith(_LIBJPEG):
                self._warnings.append(text)
            elif text.strip() and not text.startswith(_OTHERS):
                self._stderr.pass_on(line + b"\n")


_LISTENER = _Listener()


@contextlib.contextmanager
def silent_log() -> Iterator[None]:
    """Silence OpenCV's own log, and restore its level: it belongs to the whole process."""
    # OpenCV 5 moved these functions.
    log = getattr(cv2.utils, "logging", cv2)
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


class _Stderr:
    """The process's stderr while it is turned aside into a file.

    A file, as a pipe that is full would stop whoever writes, or fail them.
    """

    def __init__(self, saved: int, file: int) -> None:
        self._saved = saved
        self._file = file
        self._position = 0

    def read(self) -> bytes:
        """Return what was written meanwhile and not yet read."""
        chunks = []
        # The file's own position is where others write.
        while chunk := os.pread(self._file, 1 << 16, self._position):
            self._position += len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def pass_on(self, data: bytes) -> None:
        """Write to where it would have gone."""
        with contextlib.suppress(OSError):
            os.write(self._saved, data)


@contextlib.contextmanager
def _captured_stderr() -> Iterator[_Stderr | None]:
    """Turn file descriptor 2 aside; give None where that cannot be done."""
    if not hasattr(os, "pread"):
        yield None
        return
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(_STDERR)
    except (OSError, ValueError):
        yield None
        return
    file = _unnamed_file()
    stderr = _Stderr(saved, file)
    try:
        os.dup2(file, _STDERR)
        yield stderr
    finally:
        os.dup2(saved, _STDERR)
        # Nothing is being decoded any more: what came last is another thread's.
        if left := stderr.read():
            stderr.pass_on(left)
        for descriptor in (saved, file):
            os.close(descriptor)


def _unnamed_file() -> int:
    """Open a file that no other process sees: in memory, where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("dps-infer")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
