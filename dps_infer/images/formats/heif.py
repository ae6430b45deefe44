"""AVIF and HEIC images: read their boxes, and decode them with Pillow (extra ``formats``).

Pillow decodes AVIF itself; HEIC needs pillow-heif, which is imported when the first one is decoded.
Neither reports everything that the decode policy asks for, so the boxes are searched here. Source:
ISO/IEC 23008-12 (HEIF), 6.5, and ISO/IEC 14496-12, 12.1.5 (colr).
"""

from __future__ import annotations

import io
import re
import struct
import warnings

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import ImageError
from dps_infer.extras import FORMATS
from dps_infer.images.formats.color import HDR_TRANSFERS, ColorSpace, icc_color_space
from dps_infer.images.formats.header import TO_PNG, TONE_MAP, Header, animated

AVIF, HEIC = "AVIF", "HEIC"
_SRGB_NCLX = ((1, 1), (1, 6), (1, 13))
"""BT.709 primaries; its own transfer function, which players treat as sRGB's, BT.601's equal one,
and sRGB's."""
_SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx")
_SIZE, _COLOR = re.compile(rb"ispe\0{4}"), re.compile(rb"colr(nclx|prof|rICC)")
_META_BYTES = 1 << 20
"""Where sizes and color spaces are searched: the boxes come first."""
_MOST_BOXES = 4096


def read_heif(data: bytes) -> Header:
    """Check an AVIF or HEIC file against the decode policy.

    Raises:
        ImageError: the policy refuses the file. struct.error: it ends too early.
    """
    brand = data[8:12]
    name = AVIF if brand.startswith(b"avi") else HEIC
    if brand in _SEQUENCES:
        raise ImageError(animated(name))
    head = data[:_META_BYTES]
    places = [found.end() for found in _SIZE.finditer(head)][:_MOST_BOXES]
    # Tiles and thumbnails have sizes too; the whole image is the largest.
    sizes = [struct.unpack_from(">II", data, place) for place in places]
    if not sizes:
        raise ImageError(f"is {_an(name)} image without a stated size: {TO_PNG}")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    # HEIC pads images to whole blocks, and states a clean aperture.
    return Header(name, width, height, cropped=True, color_space=_color_space(head, name))


def decode_heif(data: bytes, header: Header) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Decode an image that `read_heif` has accepted, upright.

    Returns:
        RGB [H, W, 3] and alpha [H, W] or None.

    Raises:
        ImageError: the extra is not installed, or the file is damaged.
    """
    name = header.format
    try:
        from PIL import Image, ImageOps

        if name == HEIC:
            from pillow_heif import HeifImageFile

            Image.register_open("HEIF", HeifImageFile)
        else:
            from PIL import AvifImagePlugin  # noqa: F401
    except ImportError:
        raise ImageError(f"is {_an(name)} image, which needs another package: {FORMATS}") from None
    try:
        with warnings.catch_warnings():
            # The decode policy has its own limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("HEIF" if name == HEIC else "AVIF",))
        if getattr(image, "n_frames", 1) != 1:
            raise ImageError(animated(name))
        if image.width * image.height > header.width * header.height:
            raise ImageError(f"is {_an(name)} image larger than it states: {TO_PNG}")
        image.load()
        if image.mode not in ("L", "RGB", "RGBA"):
            raise ImageError(
                f"is {_an(name)} image of the mode {image.mode}, expected RGB: {TO_PNG}"
            )
        samples = np.asarray(
            ImageOps.exif_transpose(image).convert("RGBA" if image.mode == "RGBA" else "RGB")
        )
    except ImageError:
        raise
    except Exception as error:  # each library raises errors of its own
        reason = " ".join(str(error).split())[:100]
        raise ImageError(f"is a damaged or unusual {name} image ({reason}): {TO_PNG}") from None
    color = np.ascontiguousarray(samples[:, :, :3])
    return color, np.ascontiguousarray(samples[:, :, 3]) if samples.shape[2] == 4 else None


def _an(name: str) -> str:
    return f"an {name}" if name == AVIF else f"a {name}"


def _color_space(head: bytes, name: str) -> ColorSpace | None:
    spaces: list[ColorSpace | None] = []
    for found in list(_COLOR.finditer(head))[:_MOST_BOXES]:
        place = found.end()
        if found[1] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", head, place)
            if transfer in HDR_TRANSFERS:
                kind = HDR_TRANSFERS[transfer]
                raise ImageError(
                    f"is a high dynamic range ({kind}) {name} image, not supported: {TONE_MAP}"
                )
            srgb = (primaries, transfer) in _SRGB_NCLX
            spaces.append(
                None if srgb else ColorSpace(f"the color space {primaries}/{transfer} (nclx)")
            )
        else:
            (size,) = struct.unpack_from(">I", head, found.start() - 4)
            # A profile takes precedence.
            return icc_color_space(head[place : place + size - 12])
    if not spaces:
        raise ImageError(f"is {_an(name)} image without a stated color space: {TO_PNG}")
    return next((space for space in spaces if space is not None), None)
