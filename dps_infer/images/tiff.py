"""Read TIFF directories: the properties of TIFF files, and the EXIF orientation of others."""

from __future__ import annotations

import struct

from dps_infer.errors import ImageError

TO_PNG = "convert it to PNG"
TONE_MAP = "tone-map it to an 8- or 16-bit PNG or TIFF first"

_Tags = dict[int, tuple[int, ...]]

_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""The integer types of TIFF, as `struct` formats."""
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SUBFILE, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 277, 338, 339
_OFFSETS_AND_COUNTS = ((273, 279), (324, 325))
_REDUCED, _MASK = 0b001, 0b100
_DNG_VERSION = 50706
_WHITE_IS_ZERO = 0
_PHOTOMETRICS = {5: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "raw sensor"}
_ASSOCIATED, _UNASSOCIATED = 1, 2


def read_tiff(data: bytes) -> tuple[int, int, bool]:
    """Check a TIFF file against the decode policy (`dps_infer.images.decode`).

    Returns:
        Width and height in pixels, and whether the decoder returns colors multiplied by alpha.

    Raises:
        ImageError: the policy refuses the file.
        struct.error: the file ends too early. OverflowError: an offset in the file is 2**63 or
        more.
    """
    tags, following = _read_tags(data)
    if tags.get(_SUBFILE, (0,))[0] & _REDUCED or _DNG_VERSION in tags:
        raise ImageError(f"is a raw photograph, not supported: develop it and {TO_PNG}")
    _refuse_pages(data, following)
    _check_samples(tags)
    for offsets, counts in _OFFSETS_AND_COUNTS:
        for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if offset + count > len(data):
                raise struct.error("a strip or tile lies beyond the end")
    alpha = tags.get(_EXTRA_SAMPLES, ())[:1]
    # Below 16 bits, libtiff also multiplies colors by an unassociated alpha.
    premultiplied = alpha == (_ASSOCIATED,) or (
        alpha == (_UNASSOCIATED,) and max(tags.get(_BITS, (1,))) <= 8
    )
    return tags.get(_WIDTH, (0,))[0], tags.get(_HEIGHT, (0,))[0], premultiplied


def exif_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) from EXIF data, or 1 where it is absent or damaged."""
    try:
        tags, _ = _read_tags(exif)
    except (struct.error, OverflowError):
        return 1
    value = tags.get(_ORIENTATION, (1,))[0]
    return value if 1 <= value <= 8 else 1


def _refuse_pages(data: bytes, following: int) -> None:
    seen: set[int] = set()
    while following and following not in seen:
        seen.add(following)
        tags, following = _read_tags(data, following)
        if not tags.get(_SUBFILE, (0,))[0] & (_REDUCED | _MASK):
            raise ImageError(
                "is a TIFF with several pages, expected one image: save the page to compare in "
                "its own file"
            )


def _check_samples(tags: _Tags) -> None:
    sample_format = max(tags.get(_SAMPLE_FORMAT, (1,)))
    bits = max(tags.get(_BITS, (1,)))
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    samples = tags.get(_SAMPLES, (1,))[0]
    extra = tags.get(_EXTRA_SAMPLES, ())
    if sample_format == 3:
        raise ImageError(f"is a high dynamic range (float) TIFF, not supported: {TONE_MAP}")
    if sample_format not in (1, 4) or (bits > 8 and bits != 16):
        kind = "signed" if sample_format == 2 else "unusual"
        raise ImageError(
            f"is a TIFF with {kind} {bits}-bit samples, expected unsigned 8- or 16-bit samples: "
            f"{TO_PNG}"
        )
    if photometric in _PHOTOMETRICS:
        raise ImageError(f"is a {_PHOTOMETRICS[photometric]} TIFF, expected RGB or gray: {TO_PNG}")
    if photometric == _WHITE_IS_ZERO and bits == 16:
        raise ImageError(f"is a 16-bit TIFF with white as zero, not supported: {TO_PNG}")
    alpha = samples == 4 and len(extra) == 1 and extra[0] in (_ASSOCIATED, _UNASSOCIATED)
    if samples not in (1, 3) and not alpha:
        raise ImageError(
            f"is a TIFF with {samples} samples per pixel, expected gray, RGB, or RGB with a stated "
            f"alpha: {TO_PNG}"
        )


def _read_tags(data: bytes, directory: int | None = None) -> tuple[_Tags, int]:
    """Read the integer tags of one directory.

    Args:
        data: a whole TIFF file, or EXIF data.
        directory: offset of the directory in bytes; None for the first one.

    Returns:
        The tags, and the offset of the next directory (0 if there is none).

    Raises:
        struct.error: the data are not TIFF, or end too early. OverflowError: an offset of 2**63 or
        more.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise struct.error("no byte order")
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
        raise struct.error("more entries than data")
    tags: _Tags = {}
    for _ in range(number):
        tag, kind, count = struct.unpack_from(head, data, position)
        at = position + struct.calcsize(head)
        if kind in _TYPES and 0 < count <= len(data):
            values = f"{order}{count}{_TYPES[kind]}"
            if struct.calcsize(values) > room:
                (at,) = struct.unpack_from(order + offset, data, at)
            tags.setdefault(tag, struct.unpack_from(values, data, at))
        position += size
    (following,) = struct.unpack_from(order + offset, data, position)
    return tags, following
