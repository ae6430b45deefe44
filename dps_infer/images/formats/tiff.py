"""Check TIFF files: layout, strips and tiles, pages, color space.

libtiff, inside OpenCV, reads damaged strips and unusual layouts without an error. So only layouts
that it decodes rightly are accepted (`tests/infer/images/test_tiff.py` tries all of them), and
strips and tiles are checked here: their number, their sizes, that they do not overlap, and that
their data give as many bytes as the image needs. Other damage inside compressed strips is found by
the decoder's messages (`dps_infer.images.codec`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from dps_infer.errors import ImageError
from dps_infer.images.formats.color import SRGB_CHROMATICITIES, ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TONE_MAP, TRUNCATED, Header
from dps_infer.images.formats.tiff_data import inflates_to, lzw_expands_to, unpacks_to
from dps_infer.images.formats.tiff_tags import Entry, TagReader

MOST_PAGES = 64
"""Reduced versions and masks that a page may have."""
MOST_PARTS = 1 << 20
"""Strips or tiles of an image."""
_MOST_TILE_PIXELS = 1 << 22
"""Pixels of a tile; only in a larger image may it have more."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES = 266, 273, 274, 277
_ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR, _PREDICTOR = 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _SUBSAMPLING = 338, 339, 530
_ICC_PROFILE, _DNG_VERSION = 34675, 50706
_TRANSFER, _WHITE_POINT, _PRIMARIES = 301, 318, 319
_WANTED = frozenset(
    (
        *(_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER),
        *(_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR),
        *(_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _EXTRA_SAMPLES),
        *(_SAMPLE_FORMAT, _SUBSAMPLING, _ICC_PROFILE, _DNG_VERSION),
        *(_TRANSFER, _WHITE_POINT, _PRIMARIES),
    )
)
_REDUCED, _MASK = 0b001, 0b100
_ASSOCIATED, _UNASSOCIATED = 1, 2
_CONTIGUOUS, _SEPARATE = 1, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_NO_COMPRESSION, _LZW, _JPEG, _PACKBITS = 1, 5, 7, 32773
_FAX, _DEFLATE = (2, 3, 4), (8, 32946)
_COMPRESSIONS = (_NO_COMPRESSION, *_FAX, _LZW, _JPEG, *_DEFLATE, _PACKBITS)
_PREDICTED_BY_DIFFERENCE = 2
_CHECKS: dict[int, Callable[[memoryview, int, int], bool]] = {
    _LZW: lzw_expands_to,
    _PACKBITS: unpacks_to,
    **dict.fromkeys(_DEFLATE, inflates_to),
}
_REFUSED_COMPRESSIONS = {
    6: "old-style JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_PHOTOMETRICS = {5: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "raw sensor"}


def read_tiff(data: bytes) -> Header:
    """Check a TIFF file against the decode policy (`dps_infer.images.decode`).

    Raises:
        ImageError: the policy refuses the file.
        struct.error: the file ends too early, or a tag is damaged. OverflowError: an offset in the
            file is 2**63 or more.
    """
    reader = TagReader(data)
    tags, following = reader.directory(reader.first, _WANTED)
    layout = _Layout(reader, tags)
    if layout.one(_SUBFILE, 0) & _REDUCED or _DNG_VERSION in tags:
        raise ImageError(f"is a raw photograph, not supported: develop it and {TO_PNG}")
    _refuse_pages(reader, following)
    layout.check_samples()
    layout.check_parts(len(data))
    orientation = layout.one(_ORIENTATION, 1)
    return Header(
        "TIFF",
        layout.width,
        layout.height,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        premultiplied=layout.premultiplied,
        color_space=_color_space(reader, tags),
        patch=_without_orientation(reader, tags.get(_ORIENTATION)),
        unchecked=layout.compression in (_JPEG, *_FAX),
    )


class _Layout:
    """How a TIFF file stores its samples."""

    def __init__(self, reader: TagReader, tags: dict[int, Entry]) -> None:
        self._reader, self._tags = reader, tags
        self.width, self.height = self.one(_WIDTH, 0), self.one(_HEIGHT, 0)
        self.samples = self.one(_SAMPLES, 1)
        self.bits = self._of_each_sample(_BITS, 1)
        self.sample_format = self._of_each_sample(_SAMPLE_FORMAT, 1)
        self.compression = self.one(_COMPRESSION, _NO_COMPRESSION)
        self.photometric = self.one(_PHOTOMETRIC, -1)
        self.separate = self.one(_PLANAR, _CONTIGUOUS) == _SEPARATE and self.samples > 1
        self.extra = reader.integers(tags.get(_EXTRA_SAMPLES), (), 16)

    def one(self, tag: int, default: int) -> int:
        """Return the value of a tag with one value."""
        return self._reader.integers(self._tags.get(tag), (default,), 1)[0]

    def _of_each_sample(self, tag: int, default: int) -> int:
        """Return a value that all samples of a pixel share, -1 if they differ."""
        values = self._reader.integers(self._tags.get(tag), (default,), 16)
        return values[0] if len(set(values)) == 1 else -1

    @property
    def premultiplied(self) -> bool:
        """Whether the decoder returns colors multiplied by alpha."""
        # Below 16 bits, libtiff also multiplies colors by an unassociated alpha.
        return self.extra == (_ASSOCIATED,) or (self.extra == (_UNASSOCIATED,) and self.bits <= 8)

    def check_samples(self) -> None:
        """Refuse samples that the policy refuses, or that the decoder reads wrongly."""
        if self.sample_format == 3:
            raise ImageError(f"is a high dynamic range (float) TIFF, not supported: {TONE_MAP}")
        if self.photometric in _PHOTOMETRICS:
            name = _PHOTOMETRICS[self.photometric]
            raise ImageError(f"is a {name} TIFF, expected RGB or gray: {TO_PNG}")
        color = self.photometric in (_RGB, _YCBCR)
        depths = (8, 16) if color else (4, 8) if self.photometric == _PALETTE else (1, 8, 16)
        if self.sample_format not in (1, 4) or self.bits not in depths:
            kind = "signed" if self.sample_format == 2 else "unusual"
            depth = f"{self.bits}-bit samples" if self.bits > 0 else "samples of several depths"
            raise ImageError(
                f"is a TIFF with {kind} {depth}, expected unsigned 8- or 16-bit samples: {TO_PNG}"
            )
        if self.photometric == _WHITE_IS_ZERO and self.bits == 16:
            raise ImageError(f"is a 16-bit TIFF with white as zero, not supported: {TO_PNG}")
        alpha = (
            self.photometric == _RGB
            and self.samples == 4
            and self.extra in ((_ASSOCIATED,), (_UNASSOCIATED,))
        )
        if self.samples != (3 if color else 1) and not alpha:
            raise ImageError(
                f"is a TIFF with {self.samples} samples per pixel, expected gray, RGB, or RGB with "
                f"a stated alpha: {TO_PNG}"
            )
        if self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR):
            raise ImageError(f"is a TIFF with an unusual color model, not supported: {TO_PNG}")
        self._check_coding()

    def _check_coding(self) -> None:
        compression = self.compression
        if compression not in _COMPRESSIONS:
            name = _REFUSED_COMPRESSIONS.get(compression, f"method {compression}")
            raise ImageError(f"is a TIFF compressed with {name}, not supported: {TO_PNG}")
        predictor = self.one(_PREDICTOR, 1)
        unusual = (
            (compression in _FAX and (self.bits, self.samples) != (1, 1))
            or (compression == _JPEG and (self.bits != 8 or self.photometric == _PALETTE))
            or (compression != _JPEG and self.photometric == _YCBCR)
            or (compression not in _FAX and self.one(_FILL_ORDER, 1) != 1)
            or predictor not in (1, _PREDICTED_BY_DIFFERENCE)
            or (predictor == _PREDICTED_BY_DIFFERENCE and self.bits < 8)
            or self.one(_PLANAR, _CONTIGUOUS) not in (_CONTIGUOUS, _SEPARATE)
        )
        if unusual:
            raise ImageError(f"is a TIFF with an unusual layout, not supported: {TO_PNG}")
        plain_tiles = compression == _NO_COMPRESSION and _TILE_OFFSETS in self._tags
        # In tiles of less than 16 bits, OpenCV expects four samples per pixel.
        if plain_tiles and self.bits < 16 and (self.samples != 4 or self.separate):
            raise ImageError(
                f"is an uncompressed TIFF in tiles, not supported: save it in strips, or {TO_PNG}"
            )
        if self.separate and self.bits == 16:
            raise ImageError(
                "is a 16-bit TIFF with separate color planes, not supported: save it with "
                f"interleaved (contiguous) samples, or {TO_PNG}"
            )

    def check_parts(self, file_bytes: int) -> None:
        """Check that all strips or tiles are there, have the right sizes and do not overlap."""
        tags, reader = self._tags, self._reader
        tiled = _TILE_OFFSETS in tags
        if tiled == (_STRIP_OFFSETS in tags) or self.width < 1 or self.height < 1:
            raise struct.error("no strips or tiles, or both")
        if tiled:
            across, rows = self.one(_TILE_WIDTH, 0), self.one(_TILE_HEIGHT, 0)
            if across < 1 or rows < 1 or across % 16 or rows % 16:
                raise ImageError(_damaged("its tile size"))
            padded = (self.width + 15) // 16 * 16 * ((self.height + 15) // 16 * 16)
            if across * rows > max(_MOST_TILE_PIXELS, padded):
                raise ImageError(f"is a TIFF with tiles far larger than the image: {TO_PNG}")
        else:
            across = self.width
            rows = min(self.one(_ROWS_PER_STRIP, self.height), self.height)
            if rows < 1:
                raise ImageError(_damaged("its rows per strip"))
        down = -(-self.height // rows)
        planes = self.samples if self.separate else 1
        parts = planes * down * -(-self.width // across)
        if parts > MOST_PARTS:
            raise ImageError(f"is a TIFF of more than {MOST_PARTS} strips or tiles: {TO_PNG}")
        names = (_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES)
        if any(name not in tags for name in names):
            raise ImageError(_damaged("the sizes of its strips or tiles are missing"))
        if any(tags[name].values != parts for name in names):
            raise ImageError(_damaged("its number of strips or tiles"))
        starts, sizes = (reader.offsets(tags[name], parts) for name in names)
        if (starts < 8).any() or (sizes < 1).any():
            raise ImageError(_damaged("a strip or tile is missing"))
        if (sizes > file_bytes).any() or (starts > file_bytes - sizes).any():
            raise ImageError(TRUNCATED)
        order = np.argsort(starts, kind="stable")
        ends = starts + sizes
        overlap = (ends[order][:-1] > starts[order][1:]).any()
        if overlap or ((starts <= reader.first) & (ends > reader.first)).any():
            raise ImageError(_damaged("its strips or tiles overlap"))
        row = (across * self.bits * (self.samples // planes) + 7) // 8
        needed = np.full((planes, down, parts // planes // down), row * rows, np.int64)
        if not tiled:
            needed[:, -1] = row * (self.height - (down - 1) * rows)
        if self.compression == _NO_COMPRESSION and (sizes < needed.reshape(-1)).any():
            raise ImageError(_damaged("a strip or tile is too short"))
        check = _CHECKS.get(self.compression)
        if check is not None:
            data = memoryview(reader.data)
            for start, size, least in zip(
                starts.tolist(), sizes.tolist(), needed.reshape(-1).tolist(), strict=True
            ):
                if not check(data[start : start + size], least, row * rows):
                    raise ImageError(_damaged("the data of a strip or tile"))


def _damaged(part: str) -> str:
    return f"is a damaged TIFF ({part}): get the whole file again"


def _refuse_pages(reader: TagReader, following: int) -> None:
    """Refuse a file with several pages; reduced versions and masks of a page are none."""
    seen: set[int] = set()
    while following and following not in seen:
        seen.add(following)
        tags, following = reader.directory(following, (_SUBFILE,))
        (subfile,) = reader.integers(tags.get(_SUBFILE), (0,), 1)
        if len(seen) > MOST_PAGES or not subfile & (_REDUCED | _MASK):
            raise ImageError(
                "is a TIFF with several pages, expected one image: save the page to compare in "
                "its own file"
            )


def _color_space(reader: TagReader, tags: dict[int, Entry]) -> ColorSpace | None:
    if _ICC_PROFILE in tags:
        return icc_color_space(reader.raw(tags[_ICC_PROFILE]))
    # Rationals, or a curve; nearly no program writes them for sRGB.
    if _TRANSFER in tags:
        return ColorSpace("a transfer function (TIFF)")
    if _WHITE_POINT in tags and _PRIMARIES in tags:
        ends = ((_WHITE_POINT, 2), (_PRIMARIES, 6))
        numbers = b"".join(
            reader.data[tags[tag].position : tags[tag].position + 8 * count] for tag, count in ends
        )
        return _primaries(struct.unpack(f"{reader.order}16I", numbers), numbers)
    return None


def _primaries(numbers: tuple[int, ...], raw: bytes) -> ColorSpace | None:
    stated = [top / (bottom or 1) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
    if all(
        abs(value - right / 100_000) < 0.002
        for value, right in zip(stated, SRGB_CHROMATICITIES, strict=True)
    ):
        return None
    return ColorSpace("other primaries than sRGB's (TIFF)", raw.hex())


def _without_orientation(reader: TagReader, entry: Entry | None) -> tuple[int, bytes] | None:
    """Return the patch that sets the orientation to 1: libtiff turns tiles one by one."""
    if entry is None:
        return None
    width = {1: "B", 3: "H", 4: "I"}.get(entry.kind)
    if width is None:
        raise struct.error("an orientation of another type")
    return entry.position, struct.pack(reader.order + width, 1)
