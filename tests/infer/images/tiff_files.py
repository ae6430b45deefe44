"""TIFF files in every layout, made here, so that each part of them can be damaged."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

NONE, FAX4, LZW, JPEG, DEFLATE, PACKBITS = 1, 4, 5, 7, 8, 32773
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2


@dataclass
class Tiff:
    """A file, and where its parts are.

    Attributes:
        data: the file.
        parts: offset and size of each strip or tile.
        values: offset of each tag's values.
        order: the byte order as `struct` writes it.
    """

    data: bytes
    parts: list[tuple[int, int]]
    values: dict[int, int] = field(default_factory=dict)
    order: str = "<"

    def with_value(self, tag: int, value: int, index: int = 0) -> bytes:
        """Return the file with another value of a tag, which are all of 32 bits."""
        at = self.values[tag] + 4 * index
        return self.data[:at] + struct.pack(self.order + "I", value) + self.data[at + 4 :]

    def with_part(self, index: int, content: bytes) -> bytes:
        """Return the file with other bytes in a strip or tile."""
        start, size = self.parts[index]
        assert len(content) == size
        return self.data[:start] + content + self.data[start + size :]


def write_tiff(
    pixels: np.ndarray,
    *,
    bits: int = 8,
    photometric: int | None = None,
    separate: bool = False,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    compression: int = NONE,
    predictor: bool = False,
    orientation: int | None = None,
    extra: int | None = None,
    order: str = "<",
    tags: dict[int, list[int]] | None = None,
) -> Tiff:
    """Write samples [H, W] or [H, W, C] of `bits` bits; `tile` is its height and width."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, samples = planes.shape
    if photometric is None:
        photometric = RGB if samples >= 3 else BLACK_IS_ZERO
    groups = [planes[:, :, [k]] for k in range(samples)] if separate else [planes]
    coded = []
    for group in groups:
        for part in _divide(group, tile, rows or height):
            coded.append(_encode(part, bits, compression, predictor, photometric, order))
    entries = {
        256: [width],
        257: [height],
        258: [bits] * samples,
        259: [compression],
        262: [photometric],
        277: [samples],
        284: [2 if separate else 1],
        **({322: [tile[1]], 323: [tile[0]]} if tile else {278: [rows or height]}),
        **({317: [2]} if predictor else {}),
        **({274: [orientation]} if orientation is not None else {}),
        **({338: [extra]} if extra is not None else {}),
        **({530: [1, 1]} if photometric == YCBCR else {}),
        **(tags or {}),
    }
    parts, body, start = [], b"", 8
    for content in coded:
        parts.append((start + len(body), len(content)))
        body += content + bytes(len(content) % 2)
    offsets, sizes = (324, 325) if tile else (273, 279)
    entries[offsets] = [offset for offset, _ in parts]
    entries[sizes] = [size for _, size in parts]
    directory = start + len(body)
    beyond = directory + 2 + 12 * len(entries) + 4
    head, tail, values = struct.pack(order + "H", len(entries)), b"", {}
    for tag, numbers in sorted(entries.items()):
        raw = struct.pack(f"{order}{len(numbers)}I", *numbers)
        values[tag] = directory + len(head) + 8
        if len(raw) > 4:
            values[tag] = beyond + len(tail)
            raw, tail = struct.pack(order + "I", values[tag]), tail + raw
        head += struct.pack(order + "HHI", tag, 4, len(numbers)) + raw
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, directory)
    return Tiff(magic + body + head + bytes(4) + tail, parts, values, order)


def _divide(plane: np.ndarray, tile: tuple[int, int] | None, rows: int) -> list[np.ndarray]:
    height, width = plane.shape[:2]
    if tile is None:
        return [plane[top : top + rows] for top in range(0, height, rows)]
    high, wide = tile
    missing = ((0, -height % high), (0, -width % wide), (0, 0))
    padded = np.pad(plane, missing, mode="edge")
    return [
        padded[top : top + high, left : left + wide]
        for top in range(0, padded.shape[0], high)
        for left in range(0, padded.shape[1], wide)
    ]


def _encode(
    part: np.ndarray, bits: int, compression: int, predictor: bool, photometric: int, order: str
) -> bytes:
    if compression == JPEG:
        return _jpeg(part, photometric)
    if compression == FAX4:
        return _fax4(part)
    if predictor:
        part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)  # wraps around
    if bits < 8:
        flat = part.reshape(len(part), -1)
        expanded = np.unpackbits(flat[:, :, None], axis=2)[:, :, 8 - bits :]
        raw = np.packbits(expanded.reshape(len(part), -1), axis=1).tobytes()
    else:
        raw = part.astype(part.dtype.newbyteorder(order)).tobytes()
    coders = {NONE: bytes, DEFLATE: zlib.compress, LZW: compress_lzw, PACKBITS: compress_packbits}
    if compression == PACKBITS:
        # A run never crosses rows.
        row = len(raw) // len(part)
        return b"".join(compress_packbits(raw[at : at + row]) for at in range(0, len(raw), row))
    return coders[compression](raw)


def _jpeg(part: np.ndarray, photometric: int) -> bytes:
    """One JPEG per strip, whose colors are those of the TIFF."""
    if part.shape[2] == 1:
        done, data = cv2.imencode(".jpg", part[:, :, 0], [cv2.IMWRITE_JPEG_QUALITY, 100])
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, 100]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        assert photometric == YCBCR
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(part[:, :, ::-1]), options)
    assert done
    return data.tobytes()


def _fax4(part: np.ndarray) -> bytes:
    """Let Pillow's libtiff write one strip, and take it out of its file."""
    stream = io.BytesIO()
    Image.fromarray(part[:, :, 0].astype(bool)).save(stream, "TIFF", compression="group4")
    raw = stream.getvalue()
    (directory,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, directory)
    found = {}
    for number in range(count):
        tag, kind, _ = struct.unpack_from("<HHI", raw, directory + 2 + 12 * number)
        width = "<H" if kind == 3 else "<I"
        found[tag] = struct.unpack_from(width, raw, directory + 10 + 12 * number)[0]
    return raw[found[273] : found[273] + found[279]]


def compress_packbits(row: bytes) -> bytes:
    coded, at = b"", 0
    while at < len(row):
        run = 1
        while at + run < len(row) and run < 128 and row[at + run] == row[at]:
            run += 1
        if run > 1:
            coded += bytes([257 - run, row[at]])
        else:
            while at + run < len(row) and run < 128 and row[at + run] != row[at + run - 1]:
                run += 1
            coded += bytes([run - 1]) + row[at : at + run]
        at += run
    return coded


def compress_lzw(data: bytes) -> bytes:
    """LZW as TIFF 6.0 defines it: codes of 9 to 12 bits, from the highest bit, changing early."""
    clear, end = 256, 257
    bits = held = 0
    coded = bytearray()
    table: dict[bytes, int] = {}

    def put(code: int, width: int) -> None:
        nonlocal bits, held
        held = held << width | code
        bits += width
        while bits >= 8:
            bits -= 8
            coded.append(held >> bits & 255)
        held &= (1 << bits) - 1

    def restart() -> None:
        table.clear()
        table.update({bytes([value]): value for value in range(256)})

    restart()
    put(clear, 9)
    following, prefix, width = 258, b"", 9
    for value in data:
        longer = prefix + bytes([value])
        if longer in table:
            prefix = longer
            continue
        put(table[prefix], width)
        table[longer] = following
        following += 1
        width = max(9, following.bit_length())
        if following > 4094:
            put(clear, width)
            restart()
            following, width = 258, 9
        prefix = bytes([value])
    put(table[prefix], width)
    following += 1
    put(end, max(9, min(12, following.bit_length())))
    if bits:
        put(0, 8 - bits)
    return bytes(coded)
