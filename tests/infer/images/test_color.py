"""Color spaces: sRGB by its numbers causes no note, everything else one."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import encode, make_png
from tiff_files import write_tiff

from dps_infer.images.decode import Picture, load_picture, make_pair
from dps_infer.images.formats.color import ColorSpace, icc_color_space

SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
SRGB_PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def para(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*values)


def curv(*values: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def srgb_table(points: int) -> bytes:
    x = np.linspace(0, 1, points)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return curv(*np.round(light * 65535).astype(int).tolist())


def make_profile(
    columns=SRGB, curve: bytes = para(3, *SRGB_PARAMETERS), *, name="sRGB", model=b"RGB ", **tags
) -> bytes:
    """An ICC profile of a matrix and three equal curves."""
    text = name.encode("utf-16-be")
    content = {
        b"desc": b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    }
    if model == b"GRAY":
        content[b"kTRC"] = curve
    else:
        for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
            content[letter + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*column)
            content[letter + b"TRC"] = curve
    content.update({key.encode(): value for key, value in tags.items()})
    start = 132 + 12 * len(content)
    table, body = struct.pack(">I", len(content)), b""
    for key, value in content.items():
        table += struct.pack(">4sII", key, start + len(body), len(value))
        body += value
    head = bytes(16) + model + b"XYZ " + bytes(12) + b"acsp" + bytes(88)
    return head + table + body


@pytest.mark.parametrize(
    "curve",
    [para(3, *SRGB_PARAMETERS), para(4, *SRGB_PARAMETERS, 0, 0), srgb_table(1024), srgb_table(64)],
)
@pytest.mark.parametrize("name", ["sRGB IEC61966-2.1", "something else", ""])
def test_srgb_is_recognized_by_its_numbers(curve, name):
    assert icc_color_space(make_profile(curve=curve, name=name)) is None
    assert icc_color_space(make_profile(curve=curve, name=name, model=b"GRAY")) is None


def test_littlecms_srgb_is_recognized():
    cms = pytest.importorskip("PIL.ImageCms")
    profile = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    assert icc_color_space(profile) is None
    other = cms.ImageCmsProfile(cms.createProfile("LAB")).tobytes()
    assert icc_color_space(other) is not None


@pytest.mark.parametrize(
    "profile",
    [
        make_profile(ADOBE, curv(563)),
        make_profile(P3),
        make_profile(SRGB[::-1]),
        make_profile(curve=curv(563)),
        make_profile(curve=curv()),
        make_profile(curve=para(0, 1.8)),
        make_profile(model=b"CMYK"),
        make_profile(A2B0=b"mft2"),
        make_profile(model=b"GRAY", curve=curv(461)),
        make_profile()[:100],
        b"",
    ],
)
def test_other_profiles_are_none_of_srgb(profile):
    """All of them are called sRGB."""
    space = icc_color_space(profile)
    assert space is not None
    assert "profile" in space.name
    assert space == icc_color_space(profile)


def test_names_are_printable():
    space = icc_color_space(make_profile(P3, name="P3 \x1b[31m\n\u202e red"))
    assert space.name == 'the ICC profile "P3 [31m red"'
    assert len(icc_color_space(make_profile(P3, name="long " * 100)).name) < 100


@given(st.binary(max_size=300), st.integers(0, 400))
def test_damaged_profiles_are_color_spaces_of_their_own(noise, place):
    profile = bytearray(make_profile())
    profile[place : place + len(noise)] = noise
    space = icc_color_space(bytes(profile))
    assert space is None or isinstance(space, ColorSpace)


# --- in files -----------------------------------------------------------------------------


def with_profile(kind: str, pixels: np.ndarray, profile: bytes) -> bytes:
    if kind == "png":
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        chunk = (b"iCCP", b"a name\0\0" + zlib.compress(profile))
        return make_png(pixels.shape[1], pixels.shape[0], 8, 2, rows, chunk)
    if kind == "jpeg":
        data = encode(".jpg", pixels)
        half = len(profile) // 2
        # In two segments, the second one first.
        for number, part in ((1, profile[:half]), (2, profile[half:])):
            body = b"ICC_PROFILE\0" + bytes([number, 2]) + part
            data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + data[2:]
        return data
    if kind == "webp":
        data = encode(".webp", pixels)
        padded = profile + bytes(len(profile) % 2)
        chunk = b"ICCP" + struct.pack("<I", len(profile)) + padded
        canvas = struct.pack("<IHBHB", 0x20, pixels.shape[1] - 1, 0, pixels.shape[0] - 1, 0)
        body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + chunk + data[12:]
        return b"RIFF" + struct.pack("<I", len(body)) + body
    file = write_tiff(pixels, tags={34675: [0] * len(profile)})
    # The writer makes 32-bit numbers: the type of this tag is bytes.
    (first,) = struct.unpack_from("<I", file.data, 4)
    entry = file.data.index(struct.pack("<HHI", 34675, 4, len(profile)), first)
    data = bytearray(file.data)
    struct.pack_into("<HHI", data, entry, 34675, 7, len(profile))
    start = file.values[34675]
    data[start : start + len(profile)] = profile
    return bytes(data)


KINDS = ("png", "jpeg", "webp", "tiff")


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_are_noted(photo, kind):
    plain = load_picture(with_profile(kind, photo, make_profile()), label="a")
    assert plain.notes == ()
    assert plain.color_space is None
    other = load_picture(with_profile(kind, photo, make_profile(P3, name="P3")), label="b")
    assert other.notes == ('b: the ICC profile "P3" is not applied: compared as sRGB',)
    assert np.array_equal(other.color, plain.color)


def test_images_of_different_color_spaces_are_never_silently_identical(photo):
    def load(*columns) -> Picture:
        return load_picture(with_profile("png", photo, make_profile(columns, name="x")), label="a")

    plain, first, second = load(*SRGB), load(*P3), load(*ADOBE)
    for one, other in ((plain, first), (first, second), (second, plain)):
        pair = make_pair(one, other)
        assert pair.identical
        assert any("the color spaces differ" in note for note in pair.notes)
    # The same profile twice is one note for each image, and no difference.
    assert not any("differ" in note for note in make_pair(first, load(*P3)).notes)


def chunks_note(photo, *chunks: tuple[bytes, bytes]) -> str:
    rows = b"".join(b"\0" + row.tobytes() for row in photo)
    return " ".join(load_picture(make_png(32, 24, 8, 2, rows, *chunks), label="a").notes)


def gamma(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def primaries(*values: int) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def test_png_chunks_are_read_by_their_precedence(photo):
    wide = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    assert chunks_note(photo, gamma(45455), primaries(*SRGB_PRIMARIES)) == ""
    assert chunks_note(photo, gamma(45000)) == ""
    assert "gamma of 0.5 (gAMA)" in chunks_note(photo, gamma(50_000))
    assert "gamma of 1 (gAMA)" in chunks_note(photo, gamma(100_000))
    assert "(cHRM)" in chunks_note(photo, primaries(*wide))
    assert chunks_note(photo, gamma(100_000), (b"sRGB", b"\0")) == ""
    assert chunks_note(photo, gamma(100_000), (b"cICP", b"\1\x0d\0\1")) == ""
    assert "12/13/0/1" in chunks_note(photo, (b"sRGB", b"\0"), (b"cICP", b"\x0c\x0d\0\1"))
    profile = (b"iCCP", b"a\0\0" + zlib.compress(make_profile()))
    assert chunks_note(photo, gamma(100_000), profile) == ""
    assert "damaged ICC profile" in chunks_note(photo, (b"iCCP", b"a\0\0rubbish"))


def test_exif_color_spaces_are_noted(photo):
    for value, name in (
        (1, None),
        (0xFFFF, "an uncalibrated"),
        (2, "Adobe RGB"),
        (7, "an unknown"),
    ):
        body = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 34665, 4, 1, 26, 0)
        body += struct.pack("<HHHIII", 1, 40961, 3, 1, value, 0)
        jpeg = encode(".jpg", photo)
        data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
        notes = load_picture(data, label="a").notes
        assert len(notes) == (name is not None)
        assert name is None or name in notes[0]


def test_bmp_color_spaces_are_noted(photo):
    rows = np.ascontiguousarray(photo[:, :, ::-1]).reshape(24, -1)
    for size, space, noted in (
        (108, b"BGRs", False),
        (108, b" niW", False),
        (108, bytes(52), False),
        (108, b"\0\0\0\0" + bytes(range(48)), True),
        (124, b"KNIL", True),
    ):
        header = struct.pack("<IiiHHIIiiII", size, 32, 24, 1, 24, 0, 0, 0, 0, 0, 0)
        header += (bytes(16) + space).ljust(size - 40, b"\0")
        start = 14 + size
        file = (
            b"BM" + struct.pack("<IHHI", start + rows.size, 0, 0, start) + header + rows.tobytes()
        )
        assert (load_picture(file, label="a").color_space is not None) == noted


def test_tiff_primaries_are_noted(photo):
    """White point and primaries are fractions, which the writer cannot mark as such."""
    file = write_tiff(photo, tags={318: [0] * 4, 319: [0] * 12})
    data = bytearray(file.data)
    (first,) = struct.unpack_from("<I", file.data, 4)
    for tag, count in ((318, 2), (319, 6)):
        entry = file.data.index(struct.pack("<HHI", tag, 4, 2 * count), first)
        struct.pack_into("<HHI", data, entry, tag, 5, count)
    for red, noted in ((6400, False), (6800, True)):
        numbers = (3127, 3290, red, 3300, 3000, 6000, 1500, 600)
        fractions = [value for number in numbers for value in (number, 10_000)]
        struct.pack_into("<4I", data, file.values[318], *fractions[:4])
        struct.pack_into("<12I", data, file.values[319], *fractions[4:])
        assert (load_picture(bytes(data), label="a").color_space is not None) == noted
