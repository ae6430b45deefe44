"""Read BMP headers: size, masks, and color space."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TRUNCATED, Header

_RGB, _BITFIELDS, _RLE = 0, 3, (1, 2)
_MASKS, _ALPHA = (0xFF0000, 0xFF00, 0xFF), 0xFF000000
"""The usual masks of red, green and blue, and of alpha. The decoder ignores what they are."""
_OS2, _INFO = 12, 40
_V4 = 108
_SRGB_SPACES = (b"BGRs", b" niW")
"""LCS_sRGB and LCS_WINDOWS_COLOR_SPACE, which is sRGB."""


def read_bmp(data: bytes) -> Header:
    """Check a BMP file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error, IndexError: it ends too early.
    """
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == _OS2:
        raise ImageError(f"is a BMP image of OS/2, not supported: {TO_PNG}")
    width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # A negative height means that the top row is stored first.
    height = abs(height)
    _check_layout(bits, compression, planes)
    masks_bytes = 12 if compression == _BITFIELDS else 0
    if pixels_at < 14 + max(header_size, _INFO + masks_bytes):
        raise ImageError("is a damaged BMP image (its pixels overlap its header): save it again")
    alpha = 0
    if masks_bytes:
        masks = struct.unpack_from("<III", data, 14 + _INFO)
        # The shortest header has no mask of alpha.
        if header_size >= 56:
            (alpha,) = struct.unpack_from("<I", data, 14 + _INFO + masks_bytes)
        if masks != _MASKS or alpha not in (0, _ALPHA):
            raise ImageError(f"is a BMP image with unusual masks, not supported: {TO_PNG}")
    # Rows are padded to a multiple of 4 bytes.
    row = (width * bits + 31) // 32 * 4
    if pixels_at + row * height > len(data):
        raise ImageError(TRUNCATED)
    if bits <= 8:
        colors = struct.unpack_from("<I", data, 46)[0] or 1 << bits
        largest = (1 << bits) - 1
        if colors <= largest:
            rows = np.frombuffer(data, np.uint8, row * height, pixels_at).reshape(height, row)
            largest = _largest_index(rows, width, bits)
        # Decoders give different colors to pixels beyond the palette.
        if 14 + header_size + 4 * colors > pixels_at or not largest < colors <= 1 << bits:
            raise ImageError(f"is a BMP image with a damaged palette: {TO_PNG}")
    return Header(
        "BMP",
        width,
        height,
        ignore_alpha=alpha == 0,
        color_space=_color_space(data, header_size),
    )


def _check_layout(bits: int, compression: int, planes: int) -> None:
    if compression in _RLE:
        # Pixels that the runs leave out have no defined color.
        raise ImageError(f"is a compressed BMP image (RLE), not supported: {TO_PNG}")
    # 16 bits are refused, because OpenCV decodes their white as 248, and other decoders as 255.
    allowed = {_RGB: (1, 4, 8, 24, 32), _BITFIELDS: (32,)}.get(compression, ())
    if bits not in allowed or planes != 1:
        raise ImageError(
            f"is a BMP image with {bits} bits per pixel and compression {compression}, not "
            f"supported: {TO_PNG}"
        )


def _largest_index(rows: NDArray[np.uint8], width: int, bits: int) -> int:
    """Return the largest index into the palette, padding not counted.

    Args:
        rows: [H, bytes of a row].
        width: pixels of a row.
        bits: of a pixel.
    """
    per_byte, mask = 8 // bits, (1 << bits) - 1
    # Bytes whose pixels are all inside the image; the last one may hold padding.
    whole, rest = divmod(width, per_byte)
    parts = [rows[:, :whole] >> bits * k & mask for k in range(per_byte)]
    parts += [rows[:, whole] >> 8 - bits * (k + 1) & mask for k in range(rest)]
    return max((int(part.max()) for part in parts if part.size), default=0)


def _color_space(data: bytes, header_size: int) -> ColorSpace | None:
    if header_size < _V4:
        return None
    space = data[70:74]
    if space in _SRGB_SPACES:
        return None
    if space == b"DEBM" and header_size >= 124:
        start, size = struct.unpack_from("<II", data, 14 + 112)
        return icc_color_space(data[14 + start : 14 + start + size])
    if space == b"\0\0\0\0":
        # Calibrated by numbers. Many writers leave them all at 0, which calibrates nothing.
        numbers = data[74:122]
        return ColorSpace("calibrated RGB (BMP)", numbers.hex()) if any(numbers) else None
    return ColorSpace("an external color profile (BMP)", data[70:138].hex())
