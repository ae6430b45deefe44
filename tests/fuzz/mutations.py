"""Mutations of bytes that suit any format."""

from __future__ import annotations

import random
import struct

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 31, 1 << 62)
_LARGEST = 1 << 20
"""No mutated input is longer, in bytes."""


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Return the data after one to four random changes."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        data = draw.choice(_MUTATIONS)(data, draw)
    return data[:_LARGEST]


def _place(data: bytes, draw: random.Random) -> int:
    # Half of the places lie in the first 64 bytes, where headers are.
    return draw.randrange(min(len(data), draw.choice((64, len(data)))) or 1) if data else 0


def _flip(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + bytes([(data[at] if data else 0) ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _replace(data: bytes, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.choice((1, 1, 2, 4, 16))
    return data[:at] + draw.randbytes(length) + data[at + length :]


def _number(data: bytes, draw: random.Random) -> bytes:
    width = draw.choice("BHIQ")
    value = draw.choice(_NUMBERS) % (1 << 8 * struct.calcsize(width))
    number = struct.pack(draw.choice("<>") + width, value)
    at = _place(data, draw)
    return data[:at] + number + data[at + len(number) :]


def _zero(data: bytes, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.choice((4, 16, 64, 256))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: _place(data, draw)]


def _delete(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + data[at + draw.choice((1, 2, 4, 16, 64)) :]


def _insert(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    filler = draw.choice((draw.randbytes(4), b"\0" * 64, b"\xff" * 64, b" ", b"\n", b"-", b"9"))
    return data[:at] + filler + data[at:]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.choice((4, 16, 64, 256))
    return data[: at + length] + data[at : at + length] * draw.choice((1, 2, 100)) + data[at:]


def _move(data: bytes, draw: random.Random) -> bytes:
    start, to, length = _place(data, draw), _place(data, draw), draw.choice((4, 8, 32, 128))
    return data[:to] + data[start : start + length] + data[to + length :]


_MUTATIONS = (_flip, _flip, _replace, _number, _zero, _cut, _delete, _insert, _repeat, _move)
