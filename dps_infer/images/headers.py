"""Recognize an encoded image and read its header, before anything decodes it.

The first bytes decide the format, never a file's name. Sizes are known before any pixel is
allocated. Files that end too early are refused here, because decoders tend to fill the missing part
with gray.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from dps_infer.errors import ImageError
from dps_infer.images.tiff import TO_PNG, TONE_MAP, exif_orientation, read_tiff

ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or PNM"


@dataclass(frozen=True)
class Header:
    """The properties of an encoded image that its decoder does not report.

    Attributes:
        format: the format's name.
        width: stored width in pixels, before orientation.
        height: stored height in pixels, before orientation.
        orientation: EXIF orientation (1 to 8) to apply after decoding.
        premultiplied: the decoder returns colors multiplied by alpha.
        transparent_gray: the decoded gray value that means full transparency.
        cmyk: the samples are CMYK, which the decoder converts to RGB.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    premultiplied: bool = False
    transparent_gray: int | None = None
    cmyk: bool = False


def read_header(data: bytes) -> Header:
    """Recognize an encoded image and read its header.

    Args:
        data: the whole file.

    Raises:
        ImageError: the format or one of its features is refused by the decode policy
            (`dps_infer.images.decode`), or the data are damaged or end too early. The message does
            not name the file; the caller adds the name.
    """
    for magic, reader in _READERS:
        if magic.match(data):
            try:
                header = reader(data)
            except (struct.error, IndexError, OverflowError):
                raise ImageError(_TRUNCATED) from None
            if header.width < 1 or header.height < 1:
                raise ImageError(f"is a {header.format} image without pixels: save it again")
            return header
    for magic, name, advice in _REFUSED:
        if magic.match(data):
            raise ImageError(f"is {name}, not supported: {advice}")
    raise ImageError(f"is not an image in a supported format, expected {ACCEPTED}")


_TRUNCATED = "ends too early (a truncated or damaged image): get the whole file again"


# --- JPEG -----------------------------------------------------------------------------

_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""The next marker that is neither a stuffed zero byte nor a restart inside the scan."""
_JPEG_END, _JPEG_APP1 = 0xD9, 0xE1
_JPEG_WITHOUT_LENGTH = {0x01, 0xD8}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Header:
    size: tuple[int, int] | None = None
    orientation = 1
    components = 0
    position = 2
    # Follow the scans up to the end marker: a thumbnail in a segment has one of its own.
    while marker := _JPEG_MARKER.search(data, position):
        kind = marker[1][0]
        position = marker.end()
        if kind == _JPEG_END:
            if size is None:
                raise ImageError("is a JPEG file without an image: get the whole file again")
            return Header("JPEG", *size, orientation=orientation, cmyk=components == 4)
        if kind in _JPEG_WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        segment = data[position + 2 : position + length]
        if kind in _JPEG_FRAMES and size is None:
            precision, height, width, components = struct.unpack_from(">BHHB", segment)
            if precision != 8:
                raise ImageError(f"is a {precision}-bit JPEG, expected 8 bits: {TO_PNG}")
            if components not in (1, 3, 4):
                raise ImageError(f"is a JPEG with {components} components: {TO_PNG}")
            size = (width, height)
        elif kind == _JPEG_APP1 and segment.startswith(b"Exif\0\0") and orientation == 1:
            orientation = exif_orientation(segment[6:])
        position += length
    raise ImageError(_TRUNCATED)


# --- PNG ------------------------------------------------------------------------------

_PNG_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_PNG_GRAY = 0


def _png(data: bytes) -> Header:
    chunks: dict[bytes, bytes] = {}
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageError(_TRUNCATED)
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
            raise ImageError(
                f"is a damaged PNG (checksum of its {kind.decode('latin-1')} chunk): "
                "get the whole file again"
            )
        if kind != b"IDAT":
            chunks.setdefault(kind, bytes(body[4:]))
        position = end
        if kind == b"IEND":
            break
    width, height, bits, color_type = struct.unpack_from(">IIBB", chunks.get(b"IHDR", b""))
    if b"acTL" in chunks and struct.unpack_from(">I", chunks[b"acTL"])[0] > 1:
        raise ImageError(_animated("PNG"))
    transfer = chunks.get(b"cICP", b"\0\0")[1]
    if transfer in _PNG_HDR_TRANSFERS:
        name = _PNG_HDR_TRANSFERS[transfer]
        raise ImageError(f"is a high dynamic range ({name}) PNG, not supported: {TONE_MAP}")
    key = None
    if color_type == _PNG_GRAY and b"tRNS" in chunks:
        # OpenCV ignores this key in gray images, though not in RGB and palette images.
        (key,) = struct.unpack_from(">H", chunks[b"tRNS"])
        if bits < 8:
            key = (key & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1)
    orientation = exif_orientation(chunks[b"eXIf"]) if b"eXIf" in chunks else 1
    return Header("PNG", width, height, orientation=orientation, transparent_gray=key)


# --- WebP -----------------------------------------------------------------------------


def _webp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise ImageError(_TRUNCATED)
    width = height = 0
    orientation = 1
    position = 12
    while position + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + size]
        found = (0, 0)
        if kind == b"VP8X":
            if body[0] & 0x02:
                raise ImageError(_animated("WebP"))
            # Two numbers of 24 bits.
            (wide,), (high,) = (struct.unpack_from("<I", body, at) for at in (4, 6))
            found = ((wide & 0xFFFFFF) + 1, (high >> 8) + 1)
        elif kind == b"VP8 ":
            found = tuple(side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L":
            (packed,) = struct.unpack_from("<I", body, 1)
            found = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            orientation = exif_orientation(body.removeprefix(b"Exif\0\0"))
        # The canvas and the frame both have a size; the larger one bounds the memory.
        width, height = max(width, found[0]), max(height, found[1])
        position += 8 + size + size % 2
    return Header("WebP", width, height, orientation=orientation)


# --- BMP ------------------------------------------------------------------------------


def _bmp(data: bytes) -> Header:
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # A negative height means that the top row is stored first.
    height = abs(height)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3, 6) and pixels_at + row * height > len(data):
        raise ImageError(_TRUNCATED)
    return Header("BMP", width, height)


# --- TIFF -----------------------------------------------------------------------------


def _tiff(data: bytes) -> Header:
    width, height, premultiplied = read_tiff(data)
    # The decoder applies the orientation itself.
    return Header("TIFF", width, height, premultiplied=premultiplied)


# --- PNM ------------------------------------------------------------------------------

_PNM_HEADER = re.compile(rb"P([1-6])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 2)
_PNM_MAXIMUM = re.compile(rb"(?:\s|#[^\n]*\n)+(\d{1,9})")


def _pnm(data: bytes) -> Header:
    head = _PNM_HEADER.match(data)
    if head is None:
        raise ImageError(_TRUNCATED)
    kind, width, height = (int(number) for number in head.groups())
    end = head.end()
    depth = 1
    if kind not in (1, 4):
        maximum = _PNM_MAXIMUM.match(data, end)
        if maximum is None:
            raise ImageError(_TRUNCATED)
        end = maximum.end()
        if int(maximum[1]) not in (255, 65535):
            raise ImageError(
                f"is a PNM image with maximum {int(maximum[1])}, expected 255 or 65535: {TO_PNG}"
            )
        depth = 8 if int(maximum[1]) == 255 else 16
    if kind >= 4:
        samples = width * (3 if kind == 6 else 1)
        pixels = (samples * depth + 7) // 8 * height
        if end + 1 + pixels > len(data):
            raise ImageError(_TRUNCATED)
        if data[end + 1 + pixels :].strip():
            raise ImageError(
                "contains more than one PNM image, or surplus data: save the image in its own file"
            )
    return Header("PNM", width, height)


# --- Formats by their first bytes -------------------------------------------------------


def _animated(name: str) -> str:
    return f"is an animated {name}, expected one image: save the frame to compare in its own file"


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF[\s\S]{4}WEBP"), _webp),
    (re.compile(rb"BM[\s\S]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"), _bmp),
    (re.compile(rb"II\x2a\0|MM\0\x2a|II\x2b\0|MM\0\x2b"), _tiff),
    (re.compile(rb"P[1-6][\s#]"), _pnm),
)

_REFUSED: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"GIF8[79]a"), "a GIF image", TO_PNG),
    (re.compile(rb"\x76\x2f\x31\x01"), "a high dynamic range (OpenEXR) image", TONE_MAP),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), "a high dynamic range (Radiance) image", TONE_MAP),
    (re.compile(rb"P[fF]\s"), "a high dynamic range (PFM) image", TONE_MAP),
    (re.compile(rb"P7\s"), "a PAM image", TO_PNG),
    (re.compile(rb"[\s\S]{4}ftypavi[fs]"), "an AVIF image", TO_PNG),
    (re.compile(rb"[\s\S]{4}ftyp(hei|hev|mif1|msf1)"), "a HEIF image", TO_PNG),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 image", TO_PNG),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "a JPEG XL image", TO_PNG),
    (re.compile(rb"8BPS"), "a Photoshop file", TO_PNG),
    (re.compile(rb"%PDF"), "a PDF document", "render the page as PNG"),
    (re.compile(rb"\s*<(\?xml|svg)"), "an SVG drawing or XML", "render it as PNG"),
)
