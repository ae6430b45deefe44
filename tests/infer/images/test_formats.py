"""What each format's reader accepts and refuses, beyond the policy's own rules."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import encode, exif, make_png, with_exif

from dps_infer.errors import ImageError
from dps_infer.images.decode import Picture, load_picture, make_pair
from dps_infer.images.formats.tiff_tags import read_exif


def load(source) -> Picture:
    return load_picture(source, label="test")


def refusal(source) -> str:
    with pytest.raises(ImageError) as refused:
        load(source)
    message = str(refused.value)
    assert "\n" not in message
    return message


# --- files that are no images ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        (b"https://example.org/a.png\n", "download the image"),
        (b"[InternetShortcut]\nURL=https://example.org", "shortcut to a URL"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08\0\1\0\1\1\1\x11\0\xff\xd9", "JPEG-LS"),
    ],
)
def test_files_that_stand_for_an_image_are_named(data, name):
    assert name in refusal(data)


def test_urls_are_named():
    for name in ("https://example.org/a.png", "S3://bucket/a.png"):
        assert "is a URL" in refusal(name)
        assert "is a URL" in refusal(Path(name))


# --- BMP -----------------------------------------------------------------------------------

MASKS, ALPHA = (0xFF0000, 0xFF00, 0xFF), 0xFF000000


def make_bmp(
    rows: np.ndarray,
    width: int,
    bits: int,
    *,
    size: int = 40,
    masks: tuple[int, int, int] | None = None,
    alpha: int = 0,
    top_down: bool = False,
    palette: bytes = b"",
    space: bytes = b"BGRs",
) -> bytes:
    """A BMP from its rows [H, bytes], in the order in which they are stored."""
    height = len(rows)
    header = struct.pack(
        *("<IiiHHIIiiII", size, width, -height if top_down else height, 1, bits),
        *(3 if masks else 0, 0, 0, 0, len(palette) // 4, 0),
    )
    fields = struct.pack("<III", *masks) if masks else b""
    if size > 40:
        fields = struct.pack("<IIII", *(masks or (0, 0, 0)), alpha) + space
    fields = fields[: size - 40].ljust(size - 40, b"\0") if size > 40 else fields
    start = 14 + len(header + fields + palette)
    body = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + header + fields + palette + body


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("masks", [None, MASKS])
def test_bmp_of_32_bits(size, masks, top_down):
    """Only a mask makes an alpha of the fourth byte."""
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    expected = stored[..., 2::-1] if top_down else stored[::-1, :, 2::-1]
    for mask in (0, ALPHA):
        data = make_bmp(
            *(stored.reshape(5, -1), 7, 32), size=size, masks=masks, alpha=mask, top_down=top_down
        )
        picture = load(data)
        assert np.array_equal(picture.color, expected)
        has_alpha = bool(mask and masks and size >= 56)
        assert (picture.alpha is not None) == has_alpha
        if has_alpha:
            rows = stored if top_down else stored[::-1]
            assert np.array_equal(picture.alpha, rows[..., 3])


def test_two_different_bmps_without_alpha_are_not_identical(photo):
    """Their fourth byte is 0: as alpha it would hide all colors."""
    first, second = (
        make_bmp(np.dstack([p, p[..., 0] * 0]).reshape(24, -1), 32, 32, masks=MASKS)
        for p in (photo, 255 - photo)
    )
    assert not make_pair(load(first), load(second)).identical


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_palettes_are_looked_up(bits):
    colors = np.random.default_rng(0).integers(0, 256, (1 << bits, 4), np.uint8)
    colors[:, 3] = 0
    indices = np.random.default_rng(1).integers(0, 1 << bits, (5, 8), np.uint8)
    unpacked = np.unpackbits(indices[:, :, None], axis=2)[:, :, 8 - bits :].reshape(5, -1)
    data = make_bmp(np.packbits(unpacked, axis=1), 8, bits, palette=colors.tobytes())
    assert np.array_equal(load(data).color, colors[indices[::-1]][..., 2::-1])


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_pixels_without_a_color_are_refused(bits):
    colors = (1 << bits) - 1
    for width in (5, 8):
        fits = np.full((2, -(-width * bits // 8)), 0, np.uint8)
        palette = bytes(4 * colors)
        assert load(make_bmp(fits, width, bits, palette=palette)).size == (width, 2)
        assert "palette" in refusal(make_bmp(fits | 255, width, bits, palette=palette))
    beyond = make_bmp(fits, 8, bits, palette=palette[4:])
    assert "palette" in refusal(beyond[:46] + struct.pack("<I", colors) + beyond[50:])


def test_unusual_bmps_are_refused(photo):
    rows = np.zeros((2, 8), np.uint8)
    assert "masks" in refusal(make_bmp(rows, 2, 32, masks=(0xFF, 0xFF00, 0xFF0000)))
    assert "masks" in refusal(make_bmp(rows, 2, 32, size=56, masks=MASKS, alpha=0xF0000000))
    assert "16 bits per pixel" in refusal(make_bmp(rows, 4, 16))
    runs = bytearray(make_bmp(rows, 8, 8, palette=bytes(1024)))
    runs[30] = 1
    assert "RLE" in refusal(bytes(runs))
    os2 = b"BM" + struct.pack("<IHHIIHHHH", 38, 0, 0, 26, 12, 1, 1, 1, 24) + bytes(12)
    assert "OS/2" in refusal(os2)
    overlapping = bytearray(encode(".bmp", photo))
    overlapping[10] = 20
    assert "overlap" in refusal(bytes(overlapping))


# --- PNM -----------------------------------------------------------------------------------


@given(st.data())
def test_pnm_text_is_read_exactly(data):
    """Any white space separates numbers, and none is needed at the end."""
    kind = data.draw(st.sampled_from([2, 3]))
    width, height = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    maximum = data.draw(st.sampled_from([255, 65535]))
    count = width * height * (3 if kind == 3 else 1)
    values = data.draw(st.lists(st.integers(0, maximum), min_size=count, max_size=count))
    gap = data.draw(st.sampled_from([b" ", b"\n", b"\t \r\n"]))
    end = data.draw(st.sampled_from([b"", b"\n", b" \n"]))
    numbers = gap.join(b"%d" % value for value in values)
    text = b"P%d\n# a comment\n%d %d\n%d\n" % (kind, width, height, maximum) + numbers + end
    expected = np.array(values).reshape(height, width, -1)
    expected = (expected + 128) // 257 if maximum > 255 else expected
    assert np.array_equal(load(text).color, np.broadcast_to(expected, (height, width, 3)))


def test_pbm_text_needs_no_white_space():
    for body in (b"0110", b"0 1 1 0", b"01\n10\n"):
        gray = load(b"P1\n2 2\n" + body).color[:, :, 0]
        assert gray.tolist() == [[255, 0], [0, 255]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P2 2 1 255 1 2x", "no number"),
        (b"P2 2 1 255 1 -2", "no number"),
        (b"P2 2 1 255 1.5 2", "no number"),
        (b"P2 2 1 255 1 # 2\n2", "no number"),
        (b"P2 2 1 255 1 256", "above 255"),
        (b"P2 2 1 255 1 " + b"9" * 40, "above 255"),
        (b"P2 2 1 255 1", "too early"),
        (b"P2 2 1 255 12", "too early"),
        (b"P2 2 1 255 1 2 3", "surplus"),
        (b"P1 2 1 012", "no number"),
        (b"P1 2 1 0", "too early"),
        (b"P2 2 1x255 1 2", "too early"),
        (b"P5 2 1 255x\1\2", "no white space"),
        (b"P5 2 1 255\n\1", "too early"),
        (b"P5 2 1 255\r\n\1\0", "where its header ends"),
        (b"P5 2 1 255\n\1\2\3", "surplus"),
    ],
)
def test_damaged_pnms_are_refused(data, reason):
    assert reason in refusal(data)


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_pnm_text_is_the_same_in_blocks(monkeypatch, block):
    monkeypatch.setattr("dps_infer.images.formats.pnm._TEXT_BLOCK", block)
    values = np.random.default_rng(0).integers(0, 65536, (9, 8, 3))
    text = b"P3 8 9 65535\n" + b" ".join(b"%d" % value for value in values.ravel())
    assert np.array_equal(load(text).color, (values + 128) // 257)


# --- JPEG ----------------------------------------------------------------------------------


def scans_of(data: bytes) -> list[int]:
    """Offsets of the scans, and of the end marker."""
    return [
        *(at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"),
        len(data) - 2,
    ]


def test_a_progressive_jpeg_without_its_last_scans_is_refused(photo):
    data = encode(".jpg", photo, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = scans_of(data)
    assert len(scans) > 5
    load(data)
    for end in scans[1:-1]:
        assert "last scans are missing" in refusal(data[:end] + b"\xff\xd9")
    middle = data[: scans[3]] + data[scans[4] :]
    assert "scans are missing" in refusal(middle) or "damaged" in refusal(middle)


def test_damaged_jpeg_segments_are_refused(photo):
    data = encode(".jpg", photo)
    frame = data.index(b"\xff\xc0")
    length = 2 + int.from_bytes(data[frame + 2 : frame + 4], "big")
    again = data[:frame] + data[frame : frame + length] * 2 + data[frame + length :]
    assert "two frames" in refusal(again)
    assert "segment" in refusal(data[:frame] + b"\xff\xe5\0\1" + data[frame:])
    other = bytearray(data)
    other[data.index(b"\xff\xda") + 5] = 99
    assert "scan" in refusal(bytes(other))


# --- PNG -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"acTL", b"tRNS", b"eXIf", b"gAMA", b"PLTE"])
def test_a_png_with_two_chunks_that_exclude_each_other_is_refused(photo, kind):
    """The first of two acTL may say one frame, and the second one several."""
    rows = b"".join(b"\0" + row.tobytes() for row in photo)
    bodies = {
        b"acTL": (struct.pack(">II", 1, 0), struct.pack(">II", 2, 0)),
        b"tRNS": (bytes(6), bytes(6)),
        b"eXIf": (exif(1), exif(3)),
        b"gAMA": (struct.pack(">I", 45455), struct.pack(">I", 100_000)),
        b"PLTE": (bytes(6), bytes(6)),
    }[kind]
    once = make_png(32, 24, 8, 2, rows, (kind, bodies[0]))
    assert load(once).size == (32, 24)
    twice = make_png(32, 24, 8, 2, rows, *((kind, body) for body in bodies))
    assert f"two {kind.decode()} chunks" in refusal(twice)


@pytest.mark.parametrize(
    ("color", "length"), [(0, 1), (0, 4), (2, 2), (3, 0), (3, 3), (4, 2), (6, 6)]
)
def test_a_png_with_transparency_of_another_length_is_refused(color, length):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    palette = [(b"PLTE", bytes(6))] if color == 3 else []
    rows = b"\0" + bytes(channels)
    assert load(make_png(1, 1, 8, color, rows, *palette)).size == (1, 1)
    assert "tRNS" in refusal(make_png(1, 1, 8, color, rows, *palette, (b"tRNS", bytes(length))))


# --- EXIF ----------------------------------------------------------------------------------


def test_what_is_left_of_damaged_exif_data_counts(photo):
    """Cut off behind the orientation, or with a wrong number of tags, it is still stated."""
    whole = exif(6)
    assert read_exif(whole).orientation == 6
    assert read_exif(whole[:-4]).orientation == 6
    assert read_exif(whole[:8] + b"\xff\xff" + whole[10:]).orientation == 6
    assert read_exif(whole[:15]).orientation == 1
    assert read_exif(b"II\0\0" + whole[4:]).orientation == 1
    assert load(with_exif(encode(".jpg", photo), 6)).size == (24, 32)


# --- AVIF and HEIC -------------------------------------------------------------------------


def modern(kind: str, pixels: np.ndarray, **options: object) -> bytes:
    image = pytest.importorskip("PIL.Image")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    else:
        pytest.importorskip("PIL.AvifImagePlugin")
        if not pytest.importorskip("PIL.features").check("avif"):
            pytest.skip("this Pillow has no AVIF")
    stream = io.BytesIO()
    image.fromarray(pixels).save(stream, kind, quality=100, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_avif_and_heic_are_decoded(photo, kind):
    picture = load(modern(kind, photo))
    # Both store 4:2:0, and the photo is smooth.
    assert np.abs(picture.color.astype(int) - photo).mean() < 3
    assert picture.notes == ()
    alpha = np.dstack([photo, np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)])
    decoded = load(modern(kind, alpha)).alpha
    assert np.abs(decoded.astype(int) - alpha[:, :, 3]).max() < 3


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_avif_and_heic_obey_the_policy(photo, kind, monkeypatch):
    data = modern(kind, photo)
    color = data.index(b"colrnclx") + 8
    pq = data[:color] + struct.pack(">HH", 9, 16) + data[color + 4 :]
    assert "high dynamic range (PQ)" in refusal(pq)
    other = data[:color] + struct.pack(">HH", 12, 13) + data[color + 4 :]
    assert any("12/13" in note for note in load(other).notes)
    for end in (40, len(data) // 2, len(data) - 5):
        refusal(data[:end])
    for module in ("PIL", "pillow_heif"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    assert 'pip install ".[formats]" in a checkout' in refusal(data)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_avif_orientation_is_applied_once(photo, orientation):
    image = pytest.importorskip("PIL.Image")
    tags = image.Exif()
    tags[0x112] = orientation
    upright = load(modern("AVIF", photo)).color.astype(int)
    turned = load(modern("AVIF", photo, exif=tags)).color
    expected = {1: upright, 3: np.rot90(upright, 2), 6: np.rot90(upright, -1)}[orientation]
    assert turned.shape == expected.shape
    assert np.abs(turned - expected).mean() < 3
