"""Check the compressed data of a strip or tile: it must give as many bytes as the image needs.

libtiff stops decoding when a strip is full, and does not look whether its data end there, or
whether their checksum is right. So most damage would go unnoticed. Source: TIFF 6.0, sections 9
(PackBits) and 13 (LZW); Adobe Photoshop TIFF Technical Notes (Deflate).
"""

from __future__ import annotations

import zlib

import numpy as np

_INFLATE_BYTES = 1 << 16
_CLEAR, _END, _FIRST_ENTRY = 256, 257, 258
_MOST_CODES = 4096 - _FIRST_ENTRY + 1
"""After a clear code, the table is full after this many codes."""
_BYTES_PER_CLEAR = 256
"""Fewer on average, from a clear code to the next one, would take long to read. Encoders clear the
table when it is full, after 5 kilobytes."""
_PADDING = 3
"""Surplus bytes that LZW data may have at their end."""


def inflates_to(data: memoryview, least: int, most: int) -> bool:
    """Whether Deflate data are sound, and give `least` to `most` bytes."""
    inflate = zlib.decompressobj()
    produced = start = 0
    try:
        while start < len(data) and not inflate.eof and produced <= most:
            pending = bytes(data[start : start + _INFLATE_BYTES])
            start += len(pending)
            while pending and not inflate.eof and produced <= most:
                produced += len(inflate.decompress(pending, _INFLATE_BYTES))
                pending = inflate.unconsumed_tail
    except zlib.error:
        return False
    return inflate.eof and least <= produced <= most


def unpacks_to(data: memoryview, least: int, most: int) -> bool:
    """Whether PackBits data give `least` to `most` bytes, and end there."""
    produced = position = 0
    end = len(data)
    while position < end and produced < most:
        head = data[position]
        if head < 128:
            produced += head + 1
            position += head + 2
        elif head > 128:
            produced += 257 - head
            position += 2
        else:
            position += 1
        if position + 1 >= end and produced >= least:
            break
    # A pad byte may follow; the shortest run has two.
    return least <= produced <= most and end - 1 <= position <= end


def lzw_expands_to(data: memoryview, least: int, most: int) -> bool:
    """Whether LZW data are sound, give `least` to `most` bytes, and end there.

    An entry of the table is the string of a code and one byte more. So the length of a string
    follows from that of an earlier code, and all lengths between two clear codes are found at once,
    by doubling the distance in every step.
    """
    whole = np.frombuffer(data, np.uint8)
    bits, position, produced = 8 * len(data), 0, 0
    for _ in range(2 + len(data) // _BYTES_PER_CLEAR):
        # Codes of 9 to 12 bits; their widths depend only on their number since the clear code.
        count = int(np.searchsorted(_ENDS, bits - position, "right"))
        first, phase = position >> 3, position & 7
        part = np.zeros(_PART_BYTES, np.int32)
        known = whole[first : first + _PART_BYTES]
        part[: len(known)] = known
        windows = part[:-2] << 16 | part[1:-1] << 8 | part[2:]
        codes = windows.take(_PLACES[phase][:count]) >> _SHIFTS[phase][:count] & _MASKS[:count]
        special = (codes == _CLEAR) | (codes == _END)
        stop = int(special.argmax()) if count else 0
        if not count or not special[stop]:
            return False
        earlier = codes[:stop] - _FIRST_ENTRY
        numbers = _NUMBERS[:stop]
        if (earlier >= numbers).any():
            return False
        # How many earlier codes a string is made of, and the next one that is not yet counted.
        steps = (earlier >= 0).astype(np.intp)
        jump = np.where(earlier >= 0, earlier, numbers)
        while (further := steps.take(jump)).any():
            steps += further
            jump = jump.take(jump)
        produced += int(steps.sum()) + stop
        position += int(_ENDS[stop])
        if codes[stop] == _END:
            return least <= produced <= most and bits - position < 8 * (_PADDING + 1)
        if produced > most:
            return False
    return False


_NUMBERS = np.arange(_MOST_CODES)
_WIDTHS = np.clip(np.log2(_NUMBERS + _FIRST_ENTRY).astype(np.intp) + 1, 9, 12)
_ENDS = np.cumsum(_WIDTHS)
_MASKS = (1 << _WIDTHS) - 1
_BEGINS = [phase + _ENDS - _WIDTHS for phase in range(8)]
"""First bit of each code, by the bit of a byte at which the first code begins."""
_PLACES = [begins >> 3 for begins in _BEGINS]
_SHIFTS = [24 - _WIDTHS - (begins & 7) for begins in _BEGINS]
_PART_BYTES = int(_ENDS[-1]) // 8 + 4
