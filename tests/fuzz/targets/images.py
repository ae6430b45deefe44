"""Image files: each is refused in one line, or decoded as Pillow decodes it."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib

import cv2
import numpy as np
from infer_helpers import encode, exif, make_png, with_exif
from PIL import Image, ImageOps
from tiff_files import (
    DEFLATE,
    FAX4,
    JPEG,
    LZW,
    PACKBITS,
    PALETTE,
    UNASSOCIATED,
    WHITE_IS_ZERO,
    YCBCR,
    write_tiff,
)

from dps_infer.images.decode import WHITE, composite, load_picture
from tests.fuzz import mutations

TEST_INPUTS = 4000
_MOST_PIXELS = 1_000_000

_TOLERANCE = 2
"""Of 255: Pillow cuts 16 bits down to 8, and rounds alpha otherwise. JPEG and WebP are equal."""


def seeds() -> dict[str, bytes]:
    """Return small images of every format."""
    rows, columns = np.mgrid[0:13, 0:19]
    photo = np.stack([rows * 17, columns * 13, (rows + columns) * 8], axis=2).astype(np.uint8)
    gray, deep = photo[:, :, 0], photo.astype(np.uint16) * 257
    alpha = np.dstack([photo, columns.astype(np.uint8) * 13])
    lines = b"".join(b"\0" + row.tobytes() for row in photo)
    indices = b"".join(b"\0" + bytes(row % 4) for row in gray)
    palette = bytes(range(12))
    jpeg = encode(".jpg", photo)
    return {
        "png": encode(".png", photo),
        "png alpha": encode(".png", alpha),
        "png 16": encode(".png", deep),
        "png palette": make_png(19, 13, 8, 3, indices, (b"PLTE", palette), (b"tRNS", b"\x80")),
        "png chunks": make_png(
            *(19, 13, 8, 2, lines, (b"gAMA", struct.pack(">I", 45455)), (b"eXIf", exif(6)))
        ),
        "png interlaced": _pillow(gray, "PNG", mode="1"),
        "jpeg": jpeg,
        "jpeg gray": encode(".jpg", gray),
        "jpeg progressive": encode(".jpg", photo, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg restart": encode(".jpg", photo, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        "jpeg exif": with_exif(jpeg, 5),
        "jpeg cmyk": _pillow(photo, "JPEG", mode="CMYK"),
        "webp": encode(".webp", photo),
        "webp lossless": encode(".webp", alpha, cv2.IMWRITE_WEBP_QUALITY, 101),
        "bmp": encode(".bmp", photo),
        "bmp 32": _pillow(alpha, "BMP"),
        "bmp palette": _pillow(gray, "BMP"),
        "ppm": encode(".ppm", photo),
        "pgm 16": encode(".pgm", deep[:, :, 0]),
        "pbm": encode(".pbm", gray),
        "ppm text": b"P3\n# made here\n3 2\n255\n" + b" ".join(b"%d" % (9 * k) for k in range(18)),
        "pbm text": b"P1 4 2\n0101\n1 0 1 0",
        "tiff": write_tiff(photo, rows=4).data,
        "tiff lzw": write_tiff(photo, rows=4, compression=LZW, predictor=True).data,
        "tiff deflate": write_tiff(deep, rows=4, bits=16, compression=DEFLATE, orientation=6).data,
        "tiff tiles": write_tiff(photo, tile=(16, 16), compression=LZW, orientation=3).data,
        "tiff packbits": write_tiff(gray, compression=PACKBITS, order=">").data,
        "tiff planes": write_tiff(photo, separate=True, compression=PACKBITS).data,
        "tiff jpeg": write_tiff(photo, compression=JPEG, photometric=YCBCR).data,
        "tiff fax": write_tiff(gray & 1, bits=1, compression=FAX4, photometric=WHITE_IS_ZERO).data,
        "tiff palette": write_tiff(
            gray & 15, bits=4, photometric=PALETTE, tags={320: [k * 1285 for k in range(48)]}
        ).data,
        "tiff alpha": write_tiff(alpha, extra=UNASSOCIATED).data,
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "fill bytes": b"\xff\xd8" + b"\xff" * 50_000,
    }


def check(data: bytes, seed: str) -> str:
    """Decode the image, and compare it with Pillow's pixels."""
    picture = load_picture(data, label="image")
    pixels = composite(picture, WHITE)
    try:
        other = _with_pillow(data)
    except Exception:  # a second opinion only
        return "decoded, not by Pillow"
    if other is None:
        return "decoded, no second opinion"
    assert other.shape == pixels.shape, f"{pixels.shape}, with Pillow {other.shape}"
    difference = np.abs(pixels.astype(int) - other)
    assert difference.max() <= _TOLERANCE, f"{difference.max()} away from Pillow's pixels"
    return "right"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Mutate bytes; in half of the PNG files, chunks with right checksums."""
    if seed.startswith("png") and draw.random() < 0.5:
        return _mutate_png(data, draw)
    return mutations.mutate(data, draw)


def _mutate_png(data: bytes, draw: random.Random) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    number = draw.randrange(len(chunks))
    kind, body = chunks[number]
    change = draw.random()
    if change < 0.1:
        chunks.insert(number, chunks[number])
    elif change < 0.2:
        del chunks[number]
    elif change < 0.5 and kind == b"IDAT":
        raw = zlib.decompressobj().decompress(body, 1 << 20)
        chunks[number] = (kind, zlib.compress(mutations.mutate(raw, draw)))
    else:
        chunks[number] = (kind, mutations.mutate(body, draw))
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:8] + b"".join(parts)


def _pillow(pixels: np.ndarray, kind: str, mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image.convert(mode or image.mode).save(stream, kind)
    return stream.getvalue()


def _with_pillow(data: bytes) -> np.ndarray | None:
    """Return uint8 RGB over white [H, W, 3] as Pillow decodes it, None if it is not comparable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            image.load()
            # Rounds alpha, and takes CMYK to RGB, otherwise than libjpeg and the decode policy.
            if image.mode == "CMYK":
                return None
            if image.mode.startswith("I"):
                gray = np.asarray(image).astype(np.uint32) // 257
                image = Image.fromarray(gray.astype(np.uint8))
            upright = ImageOps.exif_transpose(image)
            rgba = np.asarray(upright.convert("RGBA")).astype(int)
    alpha = rgba[:, :, 3:]
    return (rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
