"""Read the tags of TIFF directories, which EXIF data consist of too.

Only wanted tags are read, and of each at most as many values as are asked for, so that neither time
nor memory depends on numbers in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dps_infer.images.formats.color import ColorSpace

MOST_ENTRIES = 4096
"""Of one directory. Sound files have a few dozen."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""The integer types of TIFF, as `struct` formats."""
_BYTES = {1, 2, 6, 7}
_ORIENTATION, _EXIF, _COLOR_SPACE = 274, 34665, 40961
_SRGB = 1
_COLOR_SPACES = {2: "Adobe RGB", 0xFFFF: "an uncalibrated color space"}
"""2 is not in the standard, but cameras write it."""
_ORIENTATION_TYPES = (3, 4)


class Entry(NamedTuple):
    """One tag of a directory.

    Attributes:
        kind: number of its type.
        values: how many values it has, as the file states.
        position: offset of its values in bytes.
    """

    kind: int
    values: int
    position: int


class TagReader:
    """Reads directories of TIFF data.

    Attributes:
        order: the byte order, as `struct` writes it: "<" or ">".
        first: offset of the first directory in bytes.
    """

    def __init__(self, data: bytes) -> None:
        """Read the first bytes.

        Raises:
            struct.error: the data are not TIFF, or end too early.
        """
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None:
            raise struct.error("no byte order")
        self.data, self.order = data, order
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version not in (42, 43):
            raise struct.error("no TIFF version")
        big = version == 43
        # Classic TIFF and BigTIFF: formats of an entry count, of a value count and of an offset.
        self._entries, self._counted, self._offset = ("Q", "Q", "Q") if big else ("H", "I", "I")
        (self.first,) = struct.unpack_from(order + self._offset, data, 8 if big else 4)

    def directory(
        self, start: int, wanted: Collection[int], *, lenient: bool = False
    ) -> tuple[dict[int, Entry], int]:
        """Find tags in one directory.

        Args:
            start: offset of the directory in bytes.
            wanted: numbers of the tags.
            lenient: read what is left of a damaged directory; of a tag that occurs twice, the
                first.

        Returns:
            The tags that exist, and the offset of the next directory (0 if there is none).

        Raises:
            struct.error: the data end too early, there are too many tags, or a wanted tag occurs
                twice. OverflowError: an offset of 2**63 or more.
        """
        (number,) = struct.unpack_from(self.order + self._entries, self.data, start)
        head = self.order + "HH" + self._counted
        size, room = struct.calcsize(head), struct.calcsize(self._offset)
        position = start + struct.calcsize(self._entries)
        if lenient:
            number = min(number, MOST_ENTRIES, (len(self.data) - position) // (size + room))
        if number > MOST_ENTRIES:
            raise struct.error("too many tags")
        found: dict[int, Entry] = {}
        for _ in range(number):
            tag, kind, count = struct.unpack_from(head, self.data, position)
            if tag in wanted and not (lenient and tag in found):
                if tag in found:
                    raise struct.error("a tag occurs twice")
                at = position + size
                width = struct.calcsize(_INTEGERS.get(kind, "B" if kind in _BYTES else "Q"))
                if count * width > room:
                    (at,) = struct.unpack_from(self.order + self._offset, self.data, at)
                found[tag] = Entry(kind, count, at)
            position += size + room
        if lenient:
            return found, 0
        (following,) = struct.unpack_from(self.order + self._offset, self.data, position)
        return found, following

    def integers(self, entry: Entry | None, default: tuple[int, ...], most: int) -> tuple[int, ...]:
        """Return the values of an integer tag.

        Raises:
            struct.error: it has no values, more than `most`, other than integers, or the data end
                too early. OverflowError: an offset of 2**63 or more.
        """
        if entry is None:
            return default
        if entry.kind not in _INTEGERS or not 0 < entry.values <= most:
            raise struct.error("a tag of another type or length")
        values = f"{self.order}{entry.values}{_INTEGERS[entry.kind]}"
        return struct.unpack_from(values, self.data, entry.position)

    def offsets(self, entry: Entry, count: int) -> NDArray[np.int64]:
        """Return the values of a tag with `count` offsets or sizes.

        Raises:
            struct.error: it has another number of values, or the data end too early.
        """
        if entry.kind not in (3, 4, 16) or entry.values != count:
            raise struct.error("a tag of another type or length")
        kind = np.dtype(self.order + {3: "u2", 4: "u4", 16: "i8"}[entry.kind])
        if entry.position + count * kind.itemsize > len(self.data):
            raise struct.error("values beyond the end")
        return np.frombuffer(self.data, kind, count, entry.position).astype(np.int64)

    def raw(self, entry: Entry) -> bytes:
        """Return the bytes of a tag of bytes, empty if it has another type."""
        if entry.kind not in _BYTES:
            return b""
        return self.data[entry.position : entry.position + entry.values]


class ExifInfo(NamedTuple):
    """The EXIF data that count.

    Attributes:
        orientation: 1 to 8; 1 where it is absent or damaged.
        color_space: None for sRGB, or if none is stated.
    """

    orientation: int = 1
    color_space: ColorSpace | None = None


def read_exif(exif: bytes) -> ExifInfo:
    """Read EXIF data; damaged ones count as absent."""
    try:
        reader = TagReader(exif)
        tags, _ = reader.directory(reader.first, (_ORIENTATION, _EXIF), lenient=True)
        entry = tags.get(_ORIENTATION)
        # Viewers ignore an orientation of another type.
        right = entry is None or entry.kind in _ORIENTATION_TYPES
        (orientation,) = reader.integers(entry, (1,), 1) if right else (1,)
    except (struct.error, OverflowError):
        return ExifInfo()
    return ExifInfo(
        orientation if 1 <= orientation <= 8 else 1, _exif_color_space(reader, tags.get(_EXIF))
    )


def _exif_color_space(reader: TagReader, pointer: Entry | None) -> ColorSpace | None:
    if pointer is None:
        return None
    try:
        (start,) = reader.integers(pointer, (0,), 1)
        tags, _ = reader.directory(start, (_COLOR_SPACE,), lenient=True)
        (value,) = reader.integers(tags.get(_COLOR_SPACE), (1,), 1)
    except (struct.error, OverflowError):
        return None
    if value == _SRGB:
        return None
    return ColorSpace(_COLOR_SPACES.get(value, "an unknown color space") + " (EXIF)")
