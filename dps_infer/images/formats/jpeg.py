"""Read JPEG markers: size, orientation, color space, and whether every scan is there."""

from __future__ import annotations

import re
import struct

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TRUNCATED, Header
from dps_infer.images.formats.tiff_tags import ExifInfo, read_exif

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""The next marker that is neither a stuffed zero byte nor a restart inside the scan.

Fill bytes before a marker are skipped by the search itself: a pattern that repeats them would take
quadratic time on a file of nothing else."""
_END, _SCAN, _APP1, _APP2, _JPEG_LS = 0xD9, 0xDA, 0xE1, 0xE2, 0xF7
_WITHOUT_LENGTH = {0x01, 0xD8}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xCA}
_NOT_SENT = 14
"""More than any number of low bits that a scan may leave to later scans (13)."""
_MOST_SEGMENTS = 10_000
"""Sound files have a few dozen."""
_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_ICC = b"ICC_PROFILE\0"


def read_jpeg(data: bytes) -> Header:
    """Check a JPEG file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error, IndexError: it ends too early.
    """
    frame: _Frame | None = None
    exif: ExifInfo | None = None
    profile: dict[int, bytes] = {}
    position = 2
    segments = 0
    # Follow the scans up to the end marker: a thumbnail in a segment has one of its own.
    while marker := _MARKER.search(data, position):
        kind = marker[1][0]
        position = marker.end()
        if kind == _END:
            if frame is None:
                raise ImageError("is a JPEG file without an image: get the whole file again")
            frame.check_complete()
            exif = exif or ExifInfo()
            return Header(
                "JPEG",
                frame.width,
                frame.height,
                orientation=exif.orientation,
                cmyk=len(frame.missing) == 4,
                color_space=_color_space(profile, exif),
            )
        if kind in _WITHOUT_LENGTH:
            continue
        if kind == _JPEG_LS:
            raise ImageError(f"is a JPEG-LS image, not supported: {TO_PNG}")
        (length,) = struct.unpack_from(">H", data, position)
        segments += 1
        if length < 2 or segments > _MOST_SEGMENTS:
            raise ImageError("is a damaged JPEG (segments): get the whole file again")
        segment = data[position + 2 : position + length]
        if kind in _FRAMES:
            if frame is not None:
                raise ImageError("is a damaged JPEG (two frames): get the whole file again")
            frame = _Frame(kind, segment)
        elif kind == _SCAN and frame is not None:
            frame.add_scan(segment)
        elif kind == _APP1 and segment.startswith(b"Exif\0\0") and exif is None:
            exif = read_exif(segment[6:])
        elif kind == _APP2 and segment.startswith(_ICC):
            profile.setdefault(segment[12], segment[14:])
        position += length
    raise ImageError(TRUNCATED)


def without_harmless_part(data: bytes, warning: str) -> bytes | None:
    """Return the image without the part that libjpeg warned about, None if that may be damage.

    libjpeg prints only the first warning of an image, which may hide one about damage. So whatever
    is harmless is removed, and the image decoded again. Some cameras leave padding between segments
    or at the end. Other surplus bytes are what a damaged segment or scan did not use up.

    Args:
        data: the file.
        warning: libjpeg's message.
    """
    if "bad ICC marker" in warning:
        return _without_profile(data)
    surplus = _SURPLUS.search(warning)
    if surplus is None:
        return None
    count, marker = int(surplus[1]), b"\xff" + bytes.fromhex(surplus[2])
    at = data.find(marker, count)
    for _ in range(_MOST_SEGMENTS):
        if at < 0:
            return None
        if len(set(data[at - count : at])) == 1:
            return data[: at - count] + data[at:]
        at = data.find(marker, at + 1)
    return None


def _without_profile(data: bytes) -> bytes:
    """Return the file without the segments of its ICC profile."""
    kept, position = [data[:2]], 2
    while data[position : position + 1] == b"\xff" and data[position + 1] not in (_SCAN, _END):
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position : position + 2 + length]
        if segment[1] != _APP2 or segment[4:16] != _ICC:
            kept.append(segment)
        position += 2 + length
    return b"".join((*kept, data[position:]))


class _Frame:
    """The image inside a JPEG file, and what its scans have not delivered yet.

    Attributes:
        missing: per component, the low bits that are still missing of each of its 64 coefficients.
    """

    def __init__(self, kind: int, segment: bytes) -> None:
        precision, self.height, self.width, count = struct.unpack_from(">BHHB", segment)
        if precision != 8:
            raise ImageError(f"is a {precision}-bit JPEG, expected 8 bits: {TO_PNG}")
        if count not in (1, 3, 4):
            raise ImageError(f"is a JPEG with {count} components: {TO_PNG}")
        self.progressive = kind in _PROGRESSIVE
        self.missing = {segment[6 + 3 * number]: [_NOT_SENT] * 64 for number in range(count)}
        if len(self.missing) != count:
            raise ImageError("is a damaged JPEG (components): get the whole file again")

    def add_scan(self, segment: bytes) -> None:
        """Note which coefficients a scan delivers, and down to which bit."""
        count = segment[0]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
        # Only progressive images divide the coefficients among scans.
        delivered = range(first, last + 1) if self.progressive else range(64)
        low = bits & 15 if self.progressive else 0
        if last > 63 and self.progressive:
            raise ImageError("is a damaged JPEG (scan): get the whole file again")
        for component in segment[1 : 1 + 2 * count : 2]:
            if component not in self.missing:
                raise ImageError("is a damaged JPEG (scan): get the whole file again")
            for coefficient in delivered:
                self.missing[component][coefficient] = low

    def check_complete(self) -> None:
        """Refuse an image of which scans are missing; decoders show it coarser, or gray."""
        if any(any(bits) for bits in self.missing.values()):
            raise ImageError(
                "is a JPEG whose last scans are missing (a truncated or damaged image): get the "
                "whole file again"
            )


def _color_space(profile: dict[int, bytes], exif: ExifInfo) -> ColorSpace | None:
    if profile:
        return icc_color_space(b"".join(profile[number] for number in sorted(profile)))
    return exif.color_space
