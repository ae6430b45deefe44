"""Read WebP chunks: size, orientation, color space."""

from __future__ import annotations

import struct

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TRUNCATED, Header, animated
from dps_infer.images.formats.tiff_tags import ExifInfo, read_exif

_MOST_CHUNKS = 10_000
"""Sound files have fewer than ten."""


def read_webp(data: bytes) -> Header:
    """Check a WebP file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error, IndexError: it ends too early.
    """
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise ImageError(TRUNCATED)
    width = height = 0
    exif = ExifInfo()
    color_space: ColorSpace | None = None
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > end:
            break
        kind, size = struct.unpack_from("<4sI", data, position)
        body = memoryview(data)[position + 8 : position + 8 + size]
        found = (0, 0)
        if kind == b"VP8X":
            if body[0] & 0x02:
                raise ImageError(animated("WebP"))
            # Two numbers of 24 bits.
            (wide,), (high,) = (struct.unpack_from("<I", body, at) for at in (4, 6))
            found = ((wide & 0xFFFFFF) + 1, (high >> 8) + 1)
        elif kind == b"VP8 ":
            found = tuple(side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L":
            (packed,) = struct.unpack_from("<I", body, 1)
            found = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF" and exif == ExifInfo():
            exif = read_exif(bytes(body).removeprefix(b"Exif\0\0"))
        elif kind == b"ICCP" and color_space is None:
            color_space = icc_color_space(bytes(body))
        # The canvas and the frame both have a size; the larger one bounds the memory.
        width, height = max(width, found[0]), max(height, found[1])
        position += 8 + size + size % 2
    else:
        raise ImageError(f"is a WebP with more than {_MOST_CHUNKS} chunks: {TO_PNG}")
    return Header(
        "WebP",
        width,
        height,
        orientation=exif.orientation,
        color_space=color_space or exif.color_space,
    )
