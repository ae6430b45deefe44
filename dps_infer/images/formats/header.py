"""The value that every format's reader returns, and wording that the readers share."""

from __future__ import annotations

from typing import NamedTuple

from dps_infer.images.formats.color import ColorSpace

TO_PNG = "convert it to PNG"
TONE_MAP = "tone-map it to an 8- or 16-bit PNG or TIFF first"
TRUNCATED = "ends too early (a truncated or damaged image): get the whole file again"


class Header(NamedTuple):
    """The properties of an encoded image that its decoder does not report.

    Attributes:
        format: the format's name.
        width: stored width in pixels, before orientation.
        height: stored height in pixels, before orientation.
        orientation: EXIF orientation (1 to 8) to apply after decoding.
        premultiplied: the decoder returns colors multiplied by alpha.
        transparent_gray: the decoded gray value that means full transparency.
        cmyk: the samples are CMYK, which the decoder converts to RGB.
        ignore_alpha: the decoder's fourth channel is padding.
        color_space: the stated color space; None for sRGB, or if none is stated.
        cropped: the decoded image may be smaller.
        patch: bytes to overwrite before decoding, as an offset and the new bytes.
        unchecked: only the decoder's messages show damage in its data.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    premultiplied: bool = False
    transparent_gray: int | None = None
    cmyk: bool = False
    ignore_alpha: bool = False
    color_space: ColorSpace | None = None
    cropped: bool = False
    patch: tuple[int, bytes] | None = None
    unchecked: bool = False


def animated(name: str) -> str:
    """Return the message for an animation."""
    return f"is an animated {name}, expected one image: save the frame to compare in its own file"
