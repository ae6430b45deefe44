"""Read BMP headers: size, masks, and color space."""

from __future__ import annotations

import struct

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TRUNCATED, Header

_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_MASKS = {
    16: ((0x7C00, 0x03E0, 0x001F), (0xF800, 0x07E0, 0x001F)),
    32: ((0xFF0000, 0xFF00, 0xFF),),
}
"""The masks of red, green and blue that the decoder reads as they are meant."""
_ALPHA = 0xFF000000
_V4 = 108
_SRGB_SPACES = (b"BGRs", b" niW")
"""LCS_sRGB and LCS_WINDOWS_COLOR_SPACE, which is sRGB."""


def read_bmp(data: bytes) -> Header:
    """Check a BMP file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error, IndexError: it ends too early.
    """
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
        compression = _RGB
    else:
        width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # A negative height means that the top row is stored first.
    height = abs(height)
    _check_layout(bits, compression, planes)
    masks_at = 54
    masks_end = masks_at + 12 if compression in (_BITFIELDS, _ALPHA_BITFIELDS) else 0
    if pixels_at < max(14 + header_size, masks_end):
        raise ImageError("is a damaged BMP image (its pixels overlap its header): save it again")
    alpha = False
    if masks_end:
        masks = struct.unpack_from("<III", data, masks_at)
        if masks not in _MASKS[bits]:
            raise ImageError(f"is a BMP image with unusual masks, not supported: {TO_PNG}")
        if header_size >= 56 or compression == _ALPHA_BITFIELDS:
            (alpha_mask,) = struct.unpack_from("<I", data, masks_end)
            if alpha_mask not in (0, _ALPHA) or (alpha_mask and bits != 32):
                raise ImageError(f"is a BMP image with unusual masks, not supported: {TO_PNG}")
            alpha = alpha_mask == _ALPHA
    row = (width * bits + 31) // 32 * 4
    if pixels_at + row * height > len(data):
        raise ImageError(TRUNCATED)
    return Header(
        "BMP",
        width,
        height,
        ignore_alpha=not alpha,
        color_space=_color_space(data, header_size),
    )


def _check_layout(bits: int, compression: int, planes: int) -> None:
    if compression in (_RLE8, _RLE4):
        # Pixels that the runs leave out have no defined color.
        raise ImageError(f"is a compressed BMP image (RLE), not supported: {TO_PNG}")
    allowed = {
        _RGB: (1, 4, 8, 16, 24, 32),
        _BITFIELDS: (16, 32),
        _ALPHA_BITFIELDS: (16, 32),
    }.get(compression, ())
    if bits not in allowed or planes != 1:
        raise ImageError(
            f"is a BMP image with {bits} bits per pixel and compression {compression}, not "
            f"supported: {TO_PNG}"
        )


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
