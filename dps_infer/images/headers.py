"""What an encoded image says about itself, read from its bytes before anything decodes it.

Formats are told by their first bytes, never by a file's name. Sizes are known before
any pixel is allocated, and files that end too early are found here: decoders tend to
fill up what is missing with grey.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from dps_infer.errors import ImageError

ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or PNM"


@dataclass(frozen=True)
class Header:
    """What decoding needs to know.

    Attributes:
        format: the format's name.
        width: stored width in pixels, before orientation.
        height: stored height in pixels, before orientation.
        orientation: EXIF orientation (1 to 8) that is still to be applied after decoding.
        premultiplied: colours are already multiplied by alpha, as decoded.
        transparent_grey: the grey value, as decoded, that stands for full transparency.
        inks: the samples are CMYK, which the decoder turns into RGB.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    premultiplied: bool = False
    transparent_grey: int | None = None
    inks: bool = False


def read_header(data: bytes) -> Header:
    """Recognise an encoded image and read its header.

    Args:
        data: the whole file.

    Returns:
        Its format, size and what else decoding needs.

    Raises:
        ImageError: the format is none of those accepted, or holds what the decode policy
            (`dps_infer.images.decode`) refuses, or the data are damaged or end too early. The
            message does not name the file: the caller knows it.
    """
    for magic, reader in _READERS:
        if magic.match(data):
            try:
                header = reader(data)
            except (struct.error, IndexError):
                raise ImageError(_TRUNCATED) from None
            if header.width < 1 or header.height < 1:
                raise ImageError(f"is a {header.format} image without pixels: save it again")
            return header
    for magic, name, advice in _REFUSED:
        if magic.match(data):
            raise ImageError(f"is {name}, which is not read here: {advice}")
    raise ImageError(f"is no image that is read here, expected {ACCEPTED}")


_TRUNCATED = "ends too early (a truncated or damaged image): get the whole file again"
_TO_PNG = "convert it to PNG"
_TONE_MAP = "tone-map it to an 8- or 16-bit PNG or TIFF first"


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
    # The scans are walked up to the end marker, since a thumbnail has one of its own.
    while marker := _JPEG_MARKER.search(data, position):
        kind = marker[1][0]
        position = marker.end()
        if kind == _JPEG_END:
            if size is None:
                raise ImageError("is a JPEG file without an image: get the whole file again")
            return Header("JPEG", *size, orientation=orientation, inks=components == 4)
        if kind in _JPEG_WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        segment = data[position + 2 : position + length]
        if kind in _JPEG_FRAMES and size is None:
            precision, height, width, components = struct.unpack_from(">BHHB", segment)
            if precision != 8:
                raise ImageError(f"is a {precision}-bit JPEG, expected 8 bits: {_TO_PNG}")
            if components not in (1, 3, 4):
                raise ImageError(f"is a JPEG of {components} components: {_TO_PNG}")
            size = (width, height)
        elif kind == _JPEG_APP1 and segment.startswith(b"Exif\0\0") and orientation == 1:
            orientation = _exif_orientation(segment[6:])
        position += length
    raise ImageError(_TRUNCATED)


# --- PNG ------------------------------------------------------------------------------

_PNG_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_PNG_GREY = 0


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
    width, height, bits, colour = struct.unpack_from(">IIBB", chunks.get(b"IHDR", b""))
    if b"acTL" in chunks and struct.unpack_from(">I", chunks[b"acTL"])[0] > 1:
        raise ImageError(_animated("PNG"))
    transfer = chunks.get(b"cICP", b"\0\0")[1]
    if transfer in _PNG_HDR_TRANSFERS:
        name = _PNG_HDR_TRANSFERS[transfer]
        raise ImageError(f"is a high dynamic range ({name}) PNG, which is not read: {_TONE_MAP}")
    key = None
    if colour == _PNG_GREY and b"tRNS" in chunks:
        # OpenCV drops this key for grey images, though it honours it for colour and palette.
        (key,) = struct.unpack_from(">H", chunks[b"tRNS"])
        if bits < 8:
            key = (key & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1)
    orientation = _exif_orientation(chunks.get(b"eXIf", b""))
    return Header("PNG", width, height, orientation=orientation, transparent_grey=key)


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
            found = (_little24(body, 4) + 1, _little24(body, 7) + 1)
        elif kind == b"VP8 ":
            found = tuple(side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L":
            (packed,) = struct.unpack_from("<I", body, 1)
            found = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            orientation = _exif_orientation(body.removeprefix(b"Exif\0\0"))
        # The canvas and the frame both state a size: the larger one bounds the memory.
        width, height = max(width, found[0]), max(height, found[1])
        position += 8 + size + size % 2
    return Header("WebP", width, height, orientation=orientation)


def _little24(data: bytes, offset: int) -> int:
    return data[offset] | data[offset + 1] << 8 | data[offset + 2] << 16


# --- BMP ------------------------------------------------------------------------------


def _bmp(data: bytes) -> Header:
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # A negative height says that the rows are stored from the top.
    height = abs(height)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3, 6) and pixels_at + row * height > len(data):
        raise ImageError(_TRUNCATED)
    return Header("BMP", width, height)


# --- TIFF, and the EXIF data that other formats carry ----------------------------------

_Tags = dict[int, tuple[int, ...]]

_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SUBFILE, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 277, 338, 339
_OFFSETS_AND_COUNTS = ((273, 279), (324, 325))
_WHITE_IS_ZERO = 0
_PHOTOMETRICS = {5: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "raw sensor"}
_ASSOCIATED, _UNASSOCIATED = 1, 2


def _tiff(data: bytes) -> Header:
    tags, following = _tiff_tags(data, None)
    if tags.get(_SUBFILE, (0,))[0] & 1 or 50706 in tags:
        raise ImageError(f"is a raw photograph, which is not read: develop it and {_TO_PNG}")
    _refuse_pages(data, following)
    _check_tiff_samples(tags)
    for offsets, counts in _OFFSETS_AND_COUNTS:
        for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if offset + count > len(data):
                raise ImageError(_TRUNCATED)
    alpha = tags.get(_EXTRA_SAMPLES, ())[:1]
    return Header(
        "TIFF",
        tags.get(_WIDTH, (0,))[0],
        tags.get(_HEIGHT, (0,))[0],
        # Its decoder applies the orientation itself. Below 16 bits libtiff also multiplies
        # colours by an unassociated alpha.
        premultiplied=alpha == (_ASSOCIATED,)
        or (alpha == (_UNASSOCIATED,) and max(tags.get(_BITS, (1,))) <= 8),
    )


def _refuse_pages(data: bytes, following: int) -> None:
    seen: set[int] = set()
    while following and following not in seen:
        seen.add(following)
        tags, following = _tiff_tags(data, following)
        # Bits 0 and 2: a reduced version or a mask of another page.
        if not tags.get(_SUBFILE, (0,))[0] & 0b101:
            raise ImageError(
                "is a TIFF of several pages, expected one image: save the page to compare alone"
            )


def _check_tiff_samples(tags: _Tags) -> None:
    sample_format = max(tags.get(_SAMPLE_FORMAT, (1,)))
    bits = max(tags.get(_BITS, (1,)))
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    samples = tags.get(_SAMPLES, (1,))[0]
    extra = tags.get(_EXTRA_SAMPLES, ())
    if sample_format == 3:
        raise ImageError(f"is a high dynamic range (float) TIFF, which is not read: {_TONE_MAP}")
    if sample_format not in (1, 4) or (bits > 8 and bits != 16):
        kind = "signed" if sample_format == 2 else "unusual"
        raise ImageError(
            f"is a TIFF of {kind} {bits}-bit samples, expected unsigned ones of 8 or 16 bits: "
            f"{_TO_PNG}"
        )
    if photometric in _PHOTOMETRICS:
        raise ImageError(f"is a {_PHOTOMETRICS[photometric]} TIFF, expected RGB or grey: {_TO_PNG}")
    if photometric == _WHITE_IS_ZERO and bits == 16:
        raise ImageError(f"is a 16-bit TIFF with white as zero, which is not read: {_TO_PNG}")
    alpha = samples == 4 and len(extra) == 1 and extra[0] in (_ASSOCIATED, _UNASSOCIATED)
    if samples not in (1, 3) and not alpha:
        raise ImageError(
            f"is a TIFF of {samples} samples a pixel, expected grey, RGB, or RGB and a stated "
            f"alpha: {_TO_PNG}"
        )


def _exif_orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data; 1, as stored, where they are absent or damaged."""
    try:
        tags, _ = _tiff_tags(exif, None)
    except (ImageError, struct.error, IndexError):
        return 1
    value = tags.get(_ORIENTATION, (1,))[0]
    return value if 1 <= value <= 8 else 1


def _tiff_tags(data: bytes, directory: int | None) -> tuple[_Tags, int]:
    """Read a directory of whole numbers; None is the first. Returns also where the next is."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ImageError(_TRUNCATED)
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    # Classic TIFF and BigTIFF: widths of an entry count, of a value count and of an offset.
    entries, counted, offset = ("Q", "Q", "Q") if big else ("H", "I", "I")
    if directory is None:
        (directory,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    (number,) = struct.unpack_from(order + entries, data, directory)
    position = directory + struct.calcsize(entries)
    head = order + "HH" + counted
    room = struct.calcsize(offset)
    size = struct.calcsize(head) + room
    if number * size > len(data):
        raise ImageError(_TRUNCATED)
    tags: _Tags = {}
    for _ in range(number):
        tag, kind, count = struct.unpack_from(head, data, position)
        at = position + struct.calcsize(head)
        if kind in _TIFF_TYPES and 0 < count <= len(data):
            values = f"{order}{count}{_TIFF_TYPES[kind]}"
            if struct.calcsize(values) > room:
                (at,) = struct.unpack_from(order + offset, data, at)
            tags.setdefault(tag, struct.unpack_from(values, data, at))
        position += size
    (following,) = struct.unpack_from(order + offset, data, position)
    return tags, following


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
                f"is a PNM image whose white is {int(maximum[1])}, expected 255 or 65535: {_TO_PNG}"
            )
        depth = 8 if int(maximum[1]) == 255 else 16
    if kind >= 4:
        samples = width * (3 if kind == 6 else 1)
        pixels = (samples * depth + 7) // 8 * height
        if end + 1 + pixels > len(data):
            raise ImageError(_TRUNCATED)
        if data[end + 1 + pixels :].strip():
            raise ImageError("holds more than one PNM image, or surplus data: save it alone")
    return Header("PNM", width, height)


# --- What is recognised ---------------------------------------------------------------


def _animated(name: str) -> str:
    return f"is an animated {name}, expected one image: save the frame to compare alone"


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF[\s\S]{4}WEBP"), _webp),
    (re.compile(rb"BM[\s\S]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"), _bmp),
    (re.compile(rb"II\x2a\0|MM\0\x2a|II\x2b\0|MM\0\x2b"), _tiff),
    (re.compile(rb"P[1-6][\s#]"), _pnm),
)

_REFUSED: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"GIF8[79]a"), "a GIF image", _TO_PNG),
    (re.compile(rb"\x76\x2f\x31\x01"), "a high dynamic range (OpenEXR) image", _TONE_MAP),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), "a high dynamic range (Radiance) image", _TONE_MAP),
    (re.compile(rb"P[fF]\s"), "a high dynamic range (PFM) image", _TONE_MAP),
    (re.compile(rb"P7\s"), "a PAM image", _TO_PNG),
    (re.compile(rb"[\s\S]{4}ftypavi[fs]"), "an AVIF image", _TO_PNG),
    (re.compile(rb"[\s\S]{4}ftyp(hei|hev|mif1|msf1)"), "a HEIF image", _TO_PNG),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 image", _TO_PNG),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "a JPEG XL image", _TO_PNG),
    (re.compile(rb"8BPS"), "a Photoshop file", _TO_PNG),
    (re.compile(rb"%PDF"), "a PDF document", "render the page as PNG"),
    (re.compile(rb"\s*<(\?xml|svg)"), "an SVG drawing or XML", "render it as PNG"),
)
