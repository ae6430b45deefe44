"""Recognize an encoded image and read its header, before anything decodes it.

The first bytes decide the format, never a file's name. Sizes are known before any pixel is
allocated. Files that end too early are refused here, because decoders tend to fill the missing part
with gray.
"""

from __future__ import annotations

import importlib
import re
import struct

from dps_infer.errors import ImageError
from dps_infer.images.formats.header import TO_PNG, TONE_MAP, TRUNCATED, Header

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
    for magic, name in _READERS:
        if magic.match(data):
            # Imported when first needed: importing all of them takes as long as a small image.
            reader = importlib.import_module(f"dps_infer.images.formats.{name}")
            try:
                header: Header = getattr(reader, f"read_{name}")(data)
            except (struct.error, IndexError, OverflowError, ValueError):
                raise ImageError(TRUNCATED) from None
            if header.width < 1 or header.height < 1:
                raise ImageError(f"is a {header.format} image without pixels: save it again")
            return header
    for start, what, advice in _REFUSED:
        if re.match(start, data):
            raise ImageError(f"is {what}, not supported: {advice}")
    raise ImageError(f"is not an image in a supported format, expected {ACCEPTED}")


def begins_as_image(start: bytes) -> bool:
    """Return whether a file is an image in a known format, supported or not.

    Args:
        start: its first `STARTS` bytes, or all of a shorter file.
    """
    known = [*(magic for magic, _ in _READERS), _NOT_READ]
    # Some texts begin with the two bytes of a PNM image, but none goes on like one.
    is_pnm = start[:1] == b"P" and start[1:2].isdigit()
    return bool(_PNM.match(start)) if is_pnm else any(magic.match(start) for magic in known)


STARTS = 64
"""The number of bytes that tell what a file is."""

_PNM = re.compile(rb"P[1-6]\s+(#|\d+\s+(#|\d+\s))|P7\s+(#|WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)")

_NOT_READ = re.compile(
    rb"GIF8[79]a|\x76\x2f\x31\x01|#\?(RADIANCE|RGBE)|P[fF]\s+\d|\0\0\0\x0cjP  "
    rb"|\0\0\0\x0cJXL |\xff\x4f\xff\x51"
)
"""First bytes of images that are refused; see `_REFUSED` for their names."""

_READERS = (
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"RIFF[\s\S]{4}WEBP"), "webp"),
    (re.compile(rb"BM[\s\S]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"), "bmp"),
    (re.compile(rb"II\x2a\0|MM\0\x2a|II\x2b\0|MM\0\x2b"), "tiff"),
    (re.compile(rb"P[1-6][\s#]"), "pnm"),
    (re.compile(rb"[\s\S]{4}ftyp(avi[fs]|hei|hev|mif1|msf1)"), "heif"),
)

_REFUSED = (
    (rb"GIF8[79]a", "a GIF image", TO_PNG),
    (rb"\x76\x2f\x31\x01", "a high dynamic range (OpenEXR) image", TONE_MAP),
    (rb"#\?(RADIANCE|RGBE)", "a high dynamic range (Radiance) image", TONE_MAP),
    (rb"P[fF]\s", "a high dynamic range (PFM) image", TONE_MAP),
    (rb"P7\s", "a PAM image", TO_PNG),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", TO_PNG),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL image", TO_PNG),
    (rb"8BPS", "a Photoshop file", TO_PNG),
    (rb"%PDF", "a PDF document", "render the page as PNG"),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer, not the image itself",
        "run `git lfs pull`",
    ),
    (
        rb"\s{0,64}(https?|ftp|s3|gs)://\S+\s*\Z",
        "a URL, not an image",
        "download the image first",
    ),
    (rb"\[InternetShortcut\]", "a shortcut to a URL", "download the image first"),
    (
        rb"(?i)\s{0,64}<(!DOCTYPE html|html)",
        "an HTML page",
        "download the image itself",
    ),
    (rb"\s{0,64}<(\?xml|svg)", "an SVG drawing or XML", "render it as PNG"),
)
