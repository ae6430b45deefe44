"""Read PNG chunks: size, transparency, color space, and whether every checksum is right."""

from __future__ import annotations

import struct
import zlib

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import (
    HDR_TRANSFERS,
    ColorSpace,
    icc_color_space,
    png_color_space,
)
from dps_infer.images.formats.header import TONE_MAP, TRUNCATED, Header, animated
from dps_infer.images.formats.tiff_tags import ExifInfo, read_exif

_SRGB_CICP = (b"\1\x0d\0\1", b"\1\1\0\1")
"""BT.709 primaries with sRGB's transfer function, or with BT.709's own, treated alike."""
_GRAY, _RGB, _PALETTE = 0, 2, 3
_ONCE = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf")
)
_MOST_CHUNKS = 200_000
"""More than a file of the largest size needs: encoders write chunks of 8 KiB and more."""
_LARGEST_PROFILE = 16 << 20
"""Larger than any ICC profile, in bytes."""


def read_png(data: bytes) -> Header:
    """Check a PNG file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error, IndexError: it ends too early.
    """
    chunks = _chunks(data)
    width, height, bits, color_type = struct.unpack_from(">IIBB", chunks.get(b"IHDR", b""))
    if b"acTL" in chunks and struct.unpack_from(">I", chunks[b"acTL"])[0] > 1:
        raise ImageError(animated("PNG"))
    transfer = chunks.get(b"cICP", b"\0\0")[1]
    if transfer in HDR_TRANSFERS:
        name = HDR_TRANSFERS[transfer]
        raise ImageError(f"is a high dynamic range ({name}) PNG, not supported: {TONE_MAP}")
    _check_transparency(chunks, color_type)
    key = None
    if color_type == _GRAY and b"tRNS" in chunks:
        # OpenCV ignores this key in gray images, though not in RGB and palette images.
        (key,) = struct.unpack_from(">H", chunks[b"tRNS"])
        if bits < 8:
            key = (key & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1)
    exif = read_exif(chunks[b"eXIf"]) if b"eXIf" in chunks else ExifInfo()
    return Header(
        "PNG",
        width,
        height,
        orientation=exif.orientation,
        transparent_gray=key,
        color_space=_color_space(chunks, exif),
    )


def _check_transparency(chunks: dict[bytes, bytes], color_type: int) -> None:
    """Refuse a tRNS chunk that the specification forbids; decoders read it in several ways."""
    if b"tRNS" not in chunks:
        return
    length, colors = len(chunks[b"tRNS"]), len(chunks.get(b"PLTE", b"")) // 3
    right = {_GRAY: length == 2, _RGB: length == 6, _PALETTE: 1 <= length <= colors}
    if not right.get(color_type, False):
        raise ImageError("is a damaged PNG (its tRNS chunk): save it again as PNG")


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks that count, after checking all checksums."""
    chunks: dict[bytes, bytes] = {}
    position = 8
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageError(TRUNCATED)
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
            name = kind.decode("latin-1")
            # The name may be damaged too.
            where = f"checksum of its {name} chunk" if name.isalpha() else "checksum"
            raise ImageError(f"is a damaged PNG ({where}): get the whole file again")
        if kind in _ONCE:
            if kind in chunks:
                raise ImageError(
                    f"is a PNG with two {kind.decode()} chunks, and decoders disagree about which "
                    "one counts: save it again as PNG"
                )
            chunks[kind] = bytes(body[4:])
        position = end
        if kind == b"IEND":
            return chunks
    raise ImageError(f"is a PNG with more than {_MOST_CHUNKS} chunks: save it again as PNG")


def _color_space(chunks: dict[bytes, bytes], exif: ExifInfo) -> ColorSpace | None:
    """Return the stated color space, by the order of precedence of the PNG specification."""
    if b"cICP" in chunks:
        cicp = chunks[b"cICP"]
        if cicp in _SRGB_CICP:
            return None
        return ColorSpace("the color space cICP " + "/".join(str(value) for value in cicp[:4]))
    if b"iCCP" in chunks:
        _, _, packed = chunks[b"iCCP"].partition(b"\0")
        try:
            profile = zlib.decompressobj().decompress(packed[1:], _LARGEST_PROFILE)
        except zlib.error:
            profile = b""
        return icc_color_space(profile)
    if b"sRGB" in chunks:
        return None
    gamma, chromaticities = chunks.get(b"gAMA"), chunks.get(b"cHRM")
    if gamma is not None or chromaticities is not None:
        return png_color_space(
            None if gamma is None else struct.unpack(">I", gamma)[0],
            None if chromaticities is None else struct.unpack(">8I", chromaticities),
        )
    return exif.color_space
