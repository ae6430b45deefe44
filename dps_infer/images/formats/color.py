"""Recognize the color space that a file states. Nothing is converted: see `images/decode.py`.

ICC profiles are judged by their numbers, never by their names: many profiles called sRGB are not.
Source: ICC.1:2022, the matrix/TRC model (8.3) and the types curveType, parametricCurveType and
XYZType (10).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple


class ColorSpace(NamedTuple):
    """A color space other than sRGB.

    Attributes:
        name: for messages.
        digest: tells color spaces of equal name apart.
    """

    name: str
    digest: str = ""


_SRGB_COLUMNS = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""XYZ of sRGB's primaries, adapted to D50 as profiles state them."""
_COLUMN_TOLERANCE = 0.003
"""Rounding of sound sRGB profiles. Adobe RGB and Display P3 differ by 0.08 and more."""
_CURVE_TOLERANCE = 0.003
"""Largest difference of linear light, where white is 1. Small sRGB profiles state curves that are
this close to sRGB's; a gamma of 2.2 is not."""
_CURVE_POINTS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
_MOST_TAGS = 100
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 1000
"""Times 100,000. Many writers round 1 / 2.2 to 0.45."""
SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""x and y of sRGB's white, red, green and blue, times 100,000."""
_PNG_TOLERANCE = 200
"""Largest difference of a chromaticity times 100,000; writers round them differently."""
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range: their codes in ITU-T H.273, and their names."""


def icc_color_space(profile: bytes) -> ColorSpace | None:
    """Return the color space of an ICC profile, or None if it is sRGB.

    Args:
        profile: the profile; a damaged one is a color space of its own.
    """
    import hashlib  # only a file with a profile needs it

    digest = hashlib.sha256(profile).hexdigest()
    try:
        tags = _tags(profile)
        name = _description(tags.get(b"desc", b""))
        if _is_srgb(profile[16:20], tags):
            return None
    except (struct.error, IndexError, ValueError):
        return ColorSpace("a damaged ICC profile", digest)
    return ColorSpace(f'the ICC profile "{name}"' if name else "an unnamed ICC profile", digest)


def png_color_space(gamma: int | None, chromaticities: Sequence[int] | None) -> ColorSpace | None:
    """Return the color space of a PNG's gAMA and cHRM chunks, or None if it is sRGB.

    Args:
        gamma: the encoding exponent times 100,000.
        chromaticities: x and y of white, red, green and blue, times 100,000.
    """
    names = []
    if gamma is not None and abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE:
        names.append(f"a gamma of {gamma / 100_000:g} (gAMA)")
    if chromaticities is not None and any(
        abs(stated - right) > _PNG_TOLERANCE
        for stated, right in zip(chromaticities, SRGB_CHROMATICITIES, strict=True)
    ):
        names.append("other primaries than sRGB's (cHRM)")
    if not names:
        return None
    return ColorSpace(" and ".join(names), f"{gamma} {chromaticities}")


def _tags(profile: bytes) -> dict[bytes, bytes]:
    if profile[36:40] != b"acsp":
        raise ValueError("not a profile")
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > _MOST_TAGS:
        raise ValueError("too many tags")
    tags = {}
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        tags[name] = profile[start : start + size]
    return tags


def _is_srgb(model: bytes, tags: dict[bytes, bytes]) -> bool:
    if any(name in tags for name in (b"A2B0", b"A2B1", b"D2B0", b"D2B1")):
        return False  # tables, which take precedence over the matrix
    if model == b"GRAY":
        return _curve_is_srgb(tags.get(b"kTRC", b""))
    if model != b"RGB ":
        return False
    for letter, right in zip((b"r", b"g", b"b"), _SRGB_COLUMNS, strict=True):
        column = struct.unpack_from(">3i", tags.get(letter + b"XYZ", b""), 8)
        if any(
            abs(stated / 65536 - value) > _COLUMN_TOLERANCE
            for stated, value in zip(column, right, strict=True)
        ):
            return False
        if not _curve_is_srgb(tags.get(letter + b"TRC", b"")):
            return False
    return True


def _curve_is_srgb(curve: bytes) -> bool:
    return all(abs(_light(curve, x) - _srgb_light(x)) <= _CURVE_TOLERANCE for x in _CURVE_POINTS)


def _srgb_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _light(curve: bytes, value: float) -> float:
    """Apply a tone curve to a value in [0, 1]."""
    if curve[:4] == b"para":
        (kind,) = struct.unpack_from(">H", curve, 8)
        count = (1, 3, 4, 5, 7)[kind]
        fixed: tuple[int, ...] = struct.unpack_from(f">{count}i", curve, 12)
        numbers = [number / 65536 for number in fixed]
        exponent, a, b, c, d, e, f = numbers + [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count:]
        if kind in (1, 2):
            # Below the threshold the curve is flat: at 0, or at the third parameter.
            above = a != 0 and value >= -b / a
            return float(max(a * value + b, 0.0) ** exponent + c) if above else c
        if kind in (3, 4) and value < d:
            return c * value + f
        return float(max(a * value + b, 0.0) ** exponent + e)
    if curve[:4] != b"curv":
        raise ValueError("not a curve")
    (count,) = struct.unpack_from(">I", curve, 8)
    if count == 0:
        return value
    if count == 1:
        return float(value ** (struct.unpack_from(">H", curve, 12)[0] / 256))
    place = value * (count - 1)
    low_index = int(place)
    first, second = struct.unpack_from(">2H", curve, 12 + 2 * low_index)
    return float((first + (second - first) * (place - low_index)) / 65535)


def _description(tag: bytes) -> str:
    """Return the profile's name: of printable characters, at most 60."""
    if tag[:4] == b"mluc":
        length, start = struct.unpack_from(">II", tag, 20)
        text = tag[start : start + min(length, 240)].decode("utf-16-be", "ignore")
    else:
        (length,) = struct.unpack_from(">I", tag, 8)
        text = tag[12 : 12 + min(length, 240)].partition(b"\0")[0].decode("latin-1")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"\s+", " ", printable).strip()[:60]
