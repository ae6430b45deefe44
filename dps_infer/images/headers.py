"""Recognize an encoded image and read its header, before anything decodes it.

The first bytes decide the format, never a file's name. Sizes are known before any pixel is
allocated. Files that end too early are refused here, because decoders tend to fill the missing part
with gray.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from dps_infer.errors import ImageError
from dps_infer.images.formats.bmp import read_bmp
from dps_infer.images.formats.header import TO_PNG, TONE_MAP, TRUNCATED, Header
from dps_infer.images.formats.heif import read_heif
from dps_infer.images.formats.jpeg import read_jpeg
from dps_infer.images.formats.png import read_png
from dps_infer.images.formats.pnm import read_pnm
from dps_infer.images.formats.tiff import read_tiff
from dps_infer.images.formats.webp import read_webp

ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or PNM"


def read_header(data: bytes) -> Header:
    """Recognize an encoded image and read its header, in time linear in its size.

    Args:
        data: the whole file.

    Raises:
        ImageError: the format or one of its features is refused by the decode policy
            (`dps_infer.images.decode`), or the data are damaged or end too early. The message does
            not name the file; the caller adds the name.
    """
    for magic, reader in _READERS:
        if magic.match(data):
            try:
                header = reader(data)
            except (struct.error, IndexError, OverflowError, ValueError):
                raise ImageError(TRUNCATED) from None
            if header.width < 1 or header.height < 1:
                raise ImageError(f"is a {header.format} image without pixels: save it again")
            return header
    for magic, name, advice in _REFUSED:
        if magic.match(data):
            raise ImageError(f"is {name}, not supported: {advice}")
    raise ImageError(f"is not an image in a supported format, expected {ACCEPTED}")


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), read_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), read_png),
    (re.compile(rb"RIFF[\s\S]{4}WEBP"), read_webp),
    (re.compile(rb"BM[\s\S]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"), read_bmp),
    (re.compile(rb"II\x2a\0|MM\0\x2a|II\x2b\0|MM\0\x2b"), read_tiff),
    (re.compile(rb"P[1-6][\s#]"), read_pnm),
    (re.compile(rb"[\s\S]{4}ftyp(avi[fs]|hei|hev|mif1|msf1)"), read_heif),
)

_REFUSED: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"GIF8[79]a"), "a GIF image", TO_PNG),
    (re.compile(rb"\x76\x2f\x31\x01"), "a high dynamic range (OpenEXR) image", TONE_MAP),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), "a high dynamic range (Radiance) image", TONE_MAP),
    (re.compile(rb"P[fF]\s"), "a high dynamic range (PFM) image", TONE_MAP),
    (re.compile(rb"P7\s"), "a PAM image", TO_PNG),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 image", TO_PNG),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "a JPEG XL image", TO_PNG),
    (re.compile(rb"8BPS"), "a Photoshop file", TO_PNG),
    (re.compile(rb"%PDF"), "a PDF document", "render the page as PNG"),
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec/"),
        "a Git LFS pointer, not the image itself",
        "run `git lfs pull`",
    ),
    (
        re.compile(rb"\s{0,64}(https?|ftp|s3|gs)://\S+\s*\Z", re.ASCII),
        "a URL, not an image",
        "download the image first",
    ),
    (re.compile(rb"\[InternetShortcut\]"), "a shortcut to a URL", "download the image first"),
    (
        re.compile(rb"\s{0,64}<(!DOCTYPE html|html)", re.IGNORECASE),
        "an HTML page",
        "download the image itself",
    ),
    (re.compile(rb"\s{0,64}<(\?xml|svg)"), "an SVG drawing or XML", "render it as PNG"),
)
