"""Headers that are made up: structure that is right, with numbers and parts that are not.

`images` changes bytes of sound files, which seldom get beyond the first check. Here the containers
are built anew each time, with right lengths and checksums, from parts that a stranger would choose.
"""

from __future__ import annotations

import random
import struct
import zlib

from infer_helpers import make_png

from dps_infer.images.headers import read_header

TEST_INPUTS = 3000
_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 16, 255, 256, 257, 65535, 1 << 20, 1 << 31, (1 << 32) - 1)
_SIZES = (0, 1, 2, 16, 17, 100, 9999, 65535)
_LARGEST = 1 << 18


def seeds() -> dict[str, bytes]:
    """Return the formats whose headers are made up; their data count only in their own run."""
    return {name: _MAKERS[name](random.Random(name)) for name in _MAKERS}


def check(data: bytes, seed: str) -> str:
    """Read the header."""
    header = read_header(data)
    assert header.width > 0
    assert header.height > 0
    assert 1 <= header.orientation <= 8
    space = header.color_space
    assert space is None or (space.name.isprintable() and len(space.name) < 120)
    return "read"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Make another file of the seed's format."""
    return _MAKERS[seed](draw)[:_LARGEST]


def _bytes(draw: random.Random) -> bytes:
    return draw.choice((b"", b"\0", draw.randbytes(draw.randrange(40)), bytes(300), b"\xff" * 300))


def _number(draw: random.Random, bits: int = 32) -> int:
    return draw.choice((draw.choice(_NUMBERS), draw.getrandbits(bits))) & ((1 << bits) - 1)


def _directory(draw: random.Random) -> bytes:
    """Data of TIFF or EXIF with a few directories of tags that count."""
    order = draw.choice("<>")
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8))
    tags = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 322, 323, 324, 325)
    tags += (338, 339, 34665, 34675, 40961, 50706, 301, 318, 319, 700)
    for last in (*([False] * draw.choice((0, 0, 1, 3))), True):
        chosen = sorted(draw.choices(tags, k=draw.randrange(1, 20)))
        data += struct.pack(order + "H", draw.choice((len(chosen), _number(draw, 16))))
        for tag in chosen:
            kind = draw.choice((1, 2, 3, 3, 3, 4, 4, 5, 7, 13, 16, 99))
            count = draw.choice((1, 1, 1, 3, _number(draw)))
            value = draw.choice((_number(draw), 8, len(data), draw.choice(_SIZES)))
            data += struct.pack(order + "HHII", tag, kind, count, value)
        data += struct.pack(
            order + "I", 0 if last else draw.choice((len(data) + 4, 8, _number(draw)))
        )
    return bytes(data) + _bytes(draw)


def _profile(draw: random.Random) -> bytes:
    """An ICC profile of tags with made-up places."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"desc", b"A2B0")
    chosen = draw.choices(names, k=draw.randrange(12))
    table = struct.pack(">I", draw.choice((len(chosen), _number(draw))))
    for name in chosen:
        table += struct.pack(
            ">4sII", name, draw.choice((140, 300, _number(draw))), _number(draw, 12)
        )
    head = bytes(16) + draw.choice((b"RGB ", b"GRAY", b"CMYK")) + bytes(16) + b"acsp" + bytes(88)
    kinds = (b"XYZ ", b"para", b"curv", b"mluc", b"desc")
    bodies = b"".join(draw.choice(kinds) + bytes(4) + draw.randbytes(24) for _ in range(8))
    return head + table + bodies


def _jpeg(draw: random.Random) -> bytes:
    data = b"\xff\xd8"
    for _ in range(draw.randrange(1, 12)):
        kind = draw.choice((0xE0, 0xE1, 0xE1, 0xE2, 0xDB, 0xC4, 0xC0, 0xC2, 0xDA, 0xDA, 0xFE, 0xF7))
        body = _bytes(draw)
        if kind == 0xE1:
            body = b"Exif\0\0" + _directory(draw)
        elif kind == 0xE2:
            body = b"ICC_PROFILE\0" + bytes([draw.randrange(3), 2]) + _profile(draw)
        elif kind in (0xC0, 0xC2):
            body = struct.pack(">BHHB", draw.choice((8, 8, 12)), *(_number(draw, 16),) * 2, 3)
            body += bytes((1, 17, 0, 2, 17, 0, draw.choice((2, 3)), 17, 0))
        elif kind == 0xDA:
            parts = draw.randrange(1, 4)
            body = bytes([parts, *(n for k in range(parts) for n in (k + 1, 0))])
            body += bytes(
                (draw.choice((0, 1, 200)), draw.choice((0, 63, 64, 255)), draw.randrange(32))
            )
        data += b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body
        data += draw.choice((b"", draw.randbytes(20).replace(b"\xff", b"\xff\0")))
    return data + draw.choice((b"\xff\xd9", b""))


def _png(draw: random.Random) -> bytes:
    kinds = (
        b"PLTE",
        b"tRNS",
        b"acTL",
        b"cICP",
        b"iCCP",
        b"sRGB",
        b"gAMA",
        b"cHRM",
        b"eXIf",
        b"teXt",
    )
    chunks = []
    for kind in draw.choices(kinds, k=draw.randrange(6)):
        body = _bytes(draw)
        if kind == b"eXIf":
            body = _directory(draw)
        elif kind == b"iCCP":
            body = b"a\0\0" + zlib.compress(_profile(draw))
        elif draw.random() < 0.5:
            length = {b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"acTL": 8, b"PLTE": 12}.get(kind, 2)
            body = draw.randbytes(length)
        chunks.append((kind, body))
    bits, color = draw.choice((1, 2, 4, 8, 16, 7)), draw.choice((0, 2, 3, 4, 6, 5))
    return make_png(_number(draw), _number(draw), bits, color, b"\0", *chunks)


def _webp(draw: random.Random) -> bytes:
    body = b"WEBP"
    for kind in draw.choices((b"VP8X", b"VP8 ", b"VP8L", b"EXIF", b"ICCP", b"ANIM"), k=4):
        content = draw.choice((_bytes(draw), draw.randbytes(10)))
        if kind == b"EXIF":
            content = draw.choice((b"", b"Exif\0\0")) + _directory(draw)
        elif kind == b"ICCP":
            content = _profile(draw)
        body += kind + struct.pack("<I", draw.choice((len(content), _number(draw)))) + content
        body += bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", draw.choice((len(body), _number(draw)))) + body


def _bmp(draw: random.Random) -> bytes:
    size = draw.choice((12, 40, 52, 56, 64, 108, 124))
    header = struct.pack("<Iii", size, draw.choice((_number(draw, 31), 9)), draw.choice((-9, 9)))
    header += struct.pack(
        "<HHI", 1, draw.choice((1, 4, 8, 16, 24, 32)), draw.choice((0, 0, 1, 3, 6))
    )
    header += struct.pack("<IIIII", *(_number(draw) for _ in range(5))) + draw.randbytes(84)
    start = draw.choice((14 + size, 138, _number(draw)))
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header + draw.randbytes(500)


def _pnm(draw: random.Random) -> bytes:
    gaps = (b" ", b"\n", b"#c\n", b"", b"\t\n", b"#")
    numbers = (b"1", b"0", b"9", b"255", b"65535", b"999999999", b"9999999999", b"-1", b"x")
    parts = [b"P%d" % draw.randrange(1, 7)]
    for _ in range(draw.randrange(6)):
        parts += [draw.choice(gaps), draw.choice(numbers)]
    return b"".join(parts) + draw.choice(gaps) + _bytes(draw)


def _heif(draw: random.Random) -> bytes:
    brands = (b"avif", b"avis", b"heic", b"mif1", b"hevc")
    data = b"\0\0\0\x1cftyp" + draw.choice(brands) + bytes(16)
    for _ in range(draw.randrange(5)):
        size = struct.pack(">II", _number(draw), draw.choice(_SIZES))
        color = b"nclx" + struct.pack(">HHHB", *(draw.choice((1, 9, 13, 16)) for _ in range(4)))
        profile = b"prof" + _profile(draw)
        body = draw.choice(
            (b"ispe\0\0\0\0" + size, b"colr" + color, b"colr" + profile, _bytes(draw))
        )
        data += struct.pack(">I", draw.choice((len(body) + 4, _number(draw)))) + body
    return data


_MAKERS = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "bmp": _bmp,
    "tiff": _directory,
    "pnm": _pnm,
    "heif": _heif,
}
