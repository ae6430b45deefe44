"""Decode encoded images, quietly, and report the warnings of libjpeg and libtiff.

simplejpeg is faster than OpenCV and gives the same pixels. In its strict mode it refuses whatever
libjpeg warns about, and those warnings are the only sign that libjpeg made up part of a damaged
image. It does not know some chroma subsamplings. OpenCV decodes those images, and all other formats
but PNM, AVIF and HEIC.

OpenCV's libraries write their warnings to the process's stderr, so the file descriptor is diverted
into a file while they decode. Lines that no codec wrote, for example those of another thread, are
passed on. Those warnings are the only sign of damage in such a JPEG, and in JPEG or fax data inside
a TIFF. Where they cannot be read, these files are refused.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dps_infer.errors import ImageError
from dps_infer.images.formats.header import TO_PNG, Header
from dps_infer.images.formats.jpeg import without_harmless_part
from dps_infer.runtime.forks import Gate

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
_LIBTIFF = r"\[(?:ERROR| WARN):[^]]*\] .*?\b(TIFF_Error|TIFF_Warning)\b\s*(.*)"
_HARMLESS_TIFF = (
    r"Unknown field with tag|does not end in null byte|contains null byte in value|"
    r"tags are not sorted in ascending order"
)
_OTHER_CODECS = ("libpng ", "[ WARN:", "[ERROR:")
_MOST_WARNINGS = 8
"""Harmless warnings of one JPEG; after each, it is decoded again."""
_LOG_WARNINGS = 3
"""OpenCV's log level at which libtiff's errors and warnings are written."""

_CANNOT_BE_CHECKED = (
    "which cannot be checked for damage where the decoder's messages cannot be read (Windows, or a "
    f"closed stderr): {TO_PNG}"
)

Samples = NDArray[np.generic]
Image = tuple[Samples, Samples | None]
"""Gray [H, W] or RGB [H, W, 3] samples, and the alpha samples [H, W] or None."""


def decode(data: bytes, header: Header) -> tuple[Image | None, list[str]]:
    """Decode one image and keep its sample depth, alpha and orientation.

    Args:
        data: an encoded image.
        header: its header (`dps_infer.images.headers.read_header`).

    Returns:
        - The image, or None if it cannot be decoded.
        - libjpeg's harmless warnings.

    Raises:
        ImageError: the image is damaged, or cannot be checked for damage here.
    """
    if header.format == "PNM":
        from dps_infer.images.formats.pnm import decode_pnm

        return (decode_pnm(data), None), []
    if header.format in ("AVIF", "HEIC"):
        from dps_infer.images.formats.heif import decode_heif

        return decode_heif(data, header), []
    if header.format == "TIFF":
        return _decode_tiff(data, header), []
    if header.format != "JPEG":
        return _decode_with_opencv(data), []
    return _decode_jpeg(data)


def _decode_jpeg(data: bytes) -> tuple[Image | None, list[str]]:
    """Decode a JPEG; its harmless warnings are returned, any other one is an `ImageError`."""
    image, warnings = _decode_jpeg_once(data)
    harmless: list[str] = []
    while warnings:
        repaired = without_harmless_part(data, warnings[0])
        if repaired is None or len(repaired) >= len(data) or len(harmless) == _MOST_WARNINGS:
            raise ImageError(f"is a damaged JPEG ({warnings[0]}): get the whole file again")
        harmless.append(warnings[0])
        data = repaired
        image, warnings = _decode_jpeg_once(data)
    return image, harmless


def _decode_jpeg_once(data: bytes) -> tuple[Image | None, list[str]]:
    try:
        return (simplejpeg.decode_jpeg(data), None), []
    except ValueError as error:
        if str(error).startswith(_LIBJPEG):
            return None, [str(error)]
    if not _damage_is_reported():
        raise ImageError(f"is a JPEG of an unusual kind, {_CANNOT_BE_CHECKED}")
    return _decode_with_warnings(data)


def _decode_tiff(data: bytes, header: Header) -> Image | None:
    if header.unchecked and not _damage_is_reported():
        raise ImageError(f"is a TIFF compressed with JPEG or as a fax, {_CANNOT_BE_CHECKED}")
    if header.patch is not None:
        start, patch = header.patch
        data = b"".join((data[:start], patch, data[start + len(patch) :]))
    image, warnings = _decode_with_warnings(data)
    if warnings:
        raise ImageError(f"is a damaged TIFF ({warnings[0][:100]}): get the whole file again")
    return image


@functools.cache
def _damage_is_reported() -> bool:
    """Try on a damaged TIFF image of 4 pixels whether libtiff's messages can be read."""
    tags = {256: 4, 257: 1, 258: 8, 259: 32773, 262: 1, 273: 8, 277: 1, 278: 1, 279: 2}
    # The strip has two pixels less than the image: PackBits, two literal bytes.
    strip = b"\1\0\0\0"
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<I", 12) + strip + struct.pack("<H", len(tags)) + directory
    _, warnings = _decode_with_warnings(data + bytes(4))
    return bool(warnings)


_ONE_AT_A_TIME = threading.Lock()
"""Held while warnings matter, so that they are known to be about this image."""


def _decode_with_warnings(data: bytes) -> tuple[Image | None, list[str]]:
    """Decode an image with OpenCV, and return the warnings about it."""
    with _ONE_AT_A_TIME:
        _DIVERSION.take_warnings()
        image = _decode_with_opencv(data)
        return image, _DIVERSION.take_warnings()


def _decode_with_opencv(data: bytes) -> Image | None:
    try:
        with _DIVERSION.active():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim == 2:
            return None if pixels is None else (pixels, None)
        if pixels.dtype == np.uint16:
            # Views: the caller makes 8-bit samples of them, which take half the memory.
            return pixels[:, :, 2::-1], pixels[:, :, 3] if pixels.shape[2] == 4 else None
        if pixels.shape[2] == 4:
            return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), pixels[:, :, 3]
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), None
    except cv2.error:
        return None


@contextlib.contextmanager
def silent_log() -> Iterator[None]:
    """Keep OpenCV's own log out of stderr. Its level, which the process shares, stays readable."""
    with _DIVERSION.active():
        yield


@contextlib.contextmanager
def _log_level(level: int) -> Iterator[None]:
    # OpenCV 5 moved these functions.
    log = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()
    log.setLogLevel(level)
    try:
        yield
    finally:
        log.setLogLevel(before)


class _Diversion:
    """The process's stderr, diverted into a file while any thread decodes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoding = 0
        self._undo = contextlib.ExitStack()
        self._saved = self._file = -1
        self._position = 0
        self._warnings: list[str] = []
        self._log_continues = False

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Divert stderr during the block."""
        with _GATE.entered():
            with self._lock:
                if self._decoding == 0:
                    # Where stderr cannot be diverted, the log is turned off.
                    level = _LOG_WARNINGS if self._divert() else 0
                    self._undo.enter_context(_log_level(level))
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
        """Return the warnings of libjpeg and libtiff since the last call."""
        with self._lock:
            warnings, self._warnings = self._warnings, []
        return warnings

    def _divert(self) -> bool:
        """Divert the file descriptor, where the system can and stderr is open."""
        if not hasattr(os, "pread"):
            return False
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            self._saved = os.dup(_STDERR)
        except (OSError, ValueError):
            return False
        # A file, since whoever writes to a full pipe would block or fail.
        self._file, self._position = _unnamed_file(), 0
        os.dup2(self._file, _STDERR)
        self._undo.callback(self._restore)
        return True

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
            libtiff = re.match(_LIBTIFF, text)
            if text.startswith(_LIBJPEG):
                self._warnings.append(text)
            elif libtiff is not None:
                if libtiff[1] == "TIFF_Error" or not re.search(_HARMLESS_TIFF, libtiff[2]):
                    self._warnings.append(libtiff[2])
            elif text.startswith(_OTHER_CODECS) or (self._log_continues and text.startswith("> ")):
                self._log_continues = True  # OpenCV's failed checks are explained in further lines
                continue
            elif text:
                with contextlib.suppress(OSError):
                    os.write(self._saved, line)
            self._log_continues = False


_GATE = Gate()
_DIVERSION = _Diversion()


def _after_fork_in_child() -> None:
    # Other threads of the parent may have held the locks.
    global _DIVERSION, _ONE_AT_A_TIME
    _DIVERSION, _ONE_AT_A_TIME = _Diversion(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _unnamed_file() -> int:
    """Open a file that no other process sees, in memory where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("dps-infer")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
