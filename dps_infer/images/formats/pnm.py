"""Read and decode PNM images: PBM, PGM and PPM, as text and binary.

OpenCV reads rubbish between the numbers of text images as numbers, and refuses a sound file whose
last line has no newline. Source: the pages pbm, pgm and ppm of Netpbm's documentation.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import ImageError
from dps_infer.images.formats.header import TO_PNG, TRUNCATED, Header

_GAP = re.compile(rb"[ \t\n\v\f\r]+|#[^\n\r]*[\n\r]")
_NUMBER = re.compile(rb"\d{1,9}")
_WHITESPACE = b" \t\n\v\f\r"
_BITS, _DIGITS = b"01", b"0123456789"
_TEXT_BLOCK = 1 << 20
"""Bytes of text that are parsed at a time, so that memory stays close to that of the samples."""
_DAMAGED = "is a damaged PNM image ({}): get the whole file again"


class _Layout(NamedTuple):
    """How a PNM file stores its samples.

    Attributes:
        kind: the digit after the P.
        shape: [H, W] or [H, W, 3].
        maximum: the sample value of white.
        start: offset of the first byte after the header.
    """

    kind: int
    shape: tuple[int, ...]
    maximum: int
    start: int


def read_pnm(data: bytes) -> Header:
    """Check a PNM file against the decode policy.

    Raises:
        ImageError: the policy refuses the file.
    """
    layout = _layout(data)
    if layout.kind >= 4:
        end = layout.start + 1 + _row_bytes(layout) * layout.shape[0]
        if end > len(data):
            raise ImageError(TRUNCATED)
        if data[layout.start] not in _WHITESPACE:
            raise ImageError(_DAMAGED.format("no white space after its header"))
        surplus = data[end:]
        if surplus and data[layout.start + 1] in _WHITESPACE:
            # Two bytes of white space, as in a file that was converted to CR LF. The second one may
            # be a sample, or else all samples are one place further.
            raise ImageError(_DAMAGED.format("it is unclear where its header ends"))
        if surplus.strip(_WHITESPACE + b"\0"):
            raise ImageError(
                "contains more than one PNM image, or surplus data: save the image in its own file"
            )
    return Header("PNM", layout.shape[1], layout.shape[0])


def decode_pnm(data: bytes) -> NDArray[np.generic]:
    """Decode a PNM image that `read_pnm` has accepted.

    Returns:
        uint8 or uint16 gray [H, W] or RGB [H, W, 3] samples.

    Raises:
        ImageError: the text of a text image is damaged.
    """
    layout = _layout(data)
    height = layout.shape[0]
    kind = np.uint8 if layout.maximum < 256 else np.uint16
    if layout.kind == 4:
        rows = np.frombuffer(data, np.uint8, _row_bytes(layout) * height, layout.start + 1)
        bits = np.unpackbits(rows.reshape(height, -1), axis=1, count=layout.shape[1])
        return np.where(bits, np.uint8(0), np.uint8(255))
    if layout.kind >= 5:
        stored = np.dtype(kind).newbyteorder(">")
        count = int(np.prod(layout.shape))
        samples = np.frombuffer(data, stored, count, layout.start + 1).reshape(layout.shape)
        return samples.astype(kind)
    samples = _text_samples(data, layout, kind)
    return np.where(samples, np.uint8(0), np.uint8(255)) if layout.kind == 1 else samples


def _layout(data: bytes) -> _Layout:
    kind = data[1] - ord("0")
    width, start = _header_number(data, 2)
    height, start = _header_number(data, start)
    maximum = 1
    if kind not in (1, 4):
        maximum, start = _header_number(data, start)
        if maximum not in (255, 65535):
            raise ImageError(
                f"is a PNM image with maximum {maximum}, expected 255 or 65535: {TO_PNG}"
            )
    return _Layout(kind, (height, width, 3) if kind in (3, 6) else (height, width), maximum, start)


def _header_number(data: bytes, position: int) -> tuple[int, int]:
    """Return a number behind white space and comments, and its end."""
    start = position
    while gap := _GAP.match(data, position):
        position = gap.end()
    number = _NUMBER.match(data, position)
    if number is None or position == start:
        raise ImageError(TRUNCATED)
    return int(number[0]), number.end()


def _row_bytes(layout: _Layout) -> int:
    samples = layout.shape[1] * (3 if layout.kind == 6 else 1)
    return (samples + 7) // 8 if layout.kind == 4 else samples * (1 if layout.maximum < 256 else 2)


def _text_samples(
    data: bytes, layout: _Layout, kind: type[np.uint8] | type[np.uint16]
) -> NDArray[np.generic]:
    """Parse the samples of a text image, block by block."""
    count = int(np.prod(layout.shape))
    bilevel = layout.kind == 1
    allowed = (_BITS if bilevel else _DIGITS) + _WHITESPACE
    # A sample takes a byte, and a byte of white space unless it is a bit.
    if len(data) - layout.start < (count if bilevel else 2 * count):
        raise ImageError(TRUNCATED)
    samples = np.empty(count, kind)
    done, position = 0, layout.start
    while position < len(data):
        end = _block_end(data, position)
        # Stripped, since numpy reads a 0 from a text of white space alone.
        block = data[position:end].strip(_WHITESPACE)
        if block.translate(None, allowed):
            raise ImageError(_DAMAGED.format("something between its numbers is no number"))
        if bilevel:
            values = np.frombuffer(block.translate(None, _WHITESPACE), np.uint8) - 48
        else:
            # numpy reads numbers beyond 64 bits as the largest one, which is above any maximum.
            values = np.fromstring(block, np.int64, sep=" ")
            if values.size and int(values.max()) > layout.maximum:
                raise ImageError(_DAMAGED.format(f"a sample above {layout.maximum}"))
        if done + values.size > count:
            raise ImageError(
                "contains more than one PNM image, or surplus data: save the image in its own file"
            )
        samples[done : done + values.size] = values
        done, position = done + values.size, end
    if done < count:
        raise ImageError(TRUNCATED)
    return samples.reshape(layout.shape)


def _block_end(data: bytes, position: int) -> int:
    """Return the end of a block that does not split a number."""
    end = min(position + _TEXT_BLOCK, len(data))
    while end < len(data) and data[end] not in _WHITESPACE and end < position + _TEXT_BLOCK + 16:
        end += 1
    return end
