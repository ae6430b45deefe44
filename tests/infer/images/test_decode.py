"""The decode policy, rule by rule."""

from __future__ import annotations

import io
import os
import struct
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import bomb, encode, exif, make_png, make_tiff, upright, with_exif

from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import (
    BLACK,
    WHITE,
    DecodePolicy,
    Picture,
    composite,
    load_picture,
    make_pair,
)

TAGGED = ["jpeg", "png", "webp", "tiff"]


def load(source, **options) -> Picture:
    return load_picture(source, label="test", **options)


def refusal(source, **options) -> str:
    with pytest.raises(ImageError) as refused:
        load(source, **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


# --- formats --------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".ppm", ".webp"])
def test_lossless_formats_give_their_pixels(photo, extension):
    parameters = (cv2.IMWRITE_WEBP_QUALITY, 101) if extension == ".webp" else ()
    picture = load(encode(extension, photo, *parameters))
    assert np.array_equal(picture.color, photo)
    assert picture.alpha is None
    assert picture.notes == ()


def test_jpeg_is_close(photo):
    color = load(encode(".jpg", photo, cv2.IMWRITE_JPEG_QUALITY, 100)).color.astype(int)
    assert abs(color - photo).mean() < 3


def test_the_name_does_not_matter(tmp_path, photo):
    path = tmp_path / "naïve — 図.txt"
    path.write_bytes(encode(".png", photo))
    assert np.array_equal(load(path).color, photo)
    assert np.array_equal(load(str(path)).color, photo)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        (b"\x76\x2f\x31\x01" + bytes(20), "OpenEXR"),
        (b"#?RADIANCE\n" + bytes(20), "Radiance"),
        (b"PF\n1 1\n-1.0\n" + bytes(12), "PFM"),
        (b"P7\nWIDTH 1\n", "PAM"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "AVIF"),
        (b"\0\0\0\x1cftypheic" + bytes(20), "HEIC"),
        (b"\xff\x4f\xff\x51" + bytes(20), "JPEG 2000"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"hello, this is text", "not an image in a supported format, expected JPEG, PNG"),
    ],
)
def test_other_formats_are_refused_by_name(data, name):
    assert name in refusal(data)


# --- orientation ----------------------------------------------------------------------


def oriented(kind: str, pixels: np.ndarray, orientation: int) -> bytes:
    if kind == "jpeg":
        return with_exif(encode(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, 100), orientation)
    if kind == "png":
        height, width = pixels.shape[:2]
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        return make_png(width, height, 8, 2, rows, (b"eXIf", exif(orientation)))
    if kind == "tiff":
        return make_tiff(pixels, t274=orientation)
    lossless = encode(".webp", pixels, cv2.IMWRITE_WEBP_QUALITY, 101)
    width, height = pixels.shape[1] - 1, pixels.shape[0] - 1
    canvas = struct.pack("<IHBHB", 0x08, width, 0, height, 0)
    body = exif(orientation)
    chunks = b"VP8X" + struct.pack("<I", 10) + canvas + lossless[12:]
    chunks += b"EXIF" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", TAGGED)
def test_every_orientation_is_applied(photo, kind, orientation):
    stored = load(oriented(kind, photo, 1)).color
    picture = load(oriented(kind, photo, orientation))
    assert np.array_equal(picture.color, upright(orientation, stored))


@pytest.mark.parametrize("kind", TAGGED[:3])
def test_an_invalid_orientation_is_ignored(photo, kind):
    assert load(oriented(kind, photo, 9)).size == (32, 24)


def test_orientation_turns_alpha_too(photo):
    alpha = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    pixels = np.dstack([photo, alpha])
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    picture = load(make_png(32, 24, 8, 6, rows, (b"eXIf", exif(6))))
    assert np.array_equal(picture.alpha, np.rot90(alpha, -1))
    assert picture.size == (24, 32)


# --- gray, palettes, depth, color models ----------------------------------------------


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".tiff", ".pgm", ".pbm"])
def test_gray_is_expanded_to_rgb(photo, extension):
    gray = np.where(photo[:, :, 0] > 100, 255, 0).astype(np.uint8)
    color = load(encode(extension, gray, cv2.IMWRITE_JPEG_QUALITY, 100)).color
    assert color.shape == (24, 32, 3)
    assert (color[:, :, 0] == color[:, :, 1]).all()
    assert (color[:, :, 0] == color[:, :, 2]).all()
    assert abs(color[:, :, 0].astype(int) - gray).max() < 60


def test_palettes_are_looked_up():
    palette = bytes([10, 20, 30, 200, 100, 50])
    picture = load(make_png(2, 1, 8, 3, b"\0\0\1", (b"PLTE", palette)))
    assert picture.color.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    transparent = make_png(2, 1, 8, 3, b"\0\0\1", (b"PLTE", palette), (b"tRNS", b"\x80"))
    assert load(transparent).alpha.tolist() == [[128, 255]]


@given(st.lists(st.integers(0, 65535), min_size=3, max_size=3))
def test_sixteen_bits_are_divided_by_257_and_rounded(values):
    pixels = np.array([[values]], np.uint16)
    for data in (encode(".png", pixels), make_tiff(pixels), make_tiff(pixels, order=">")):
        picture = load(data)
        assert picture.color[0, 0].tolist() == [round(value / 257) for value in values]
        assert any("16-bit" in note for note in picture.notes)


def test_cmyk_jpeg_is_converted_with_a_note(photo):
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(photo).convert("CMYK").save(stream, "JPEG", quality=100, subsampling=0)
    picture = load(stream.getvalue())
    assert abs(picture.color.astype(int) - photo).max() < 12
    assert any("CMYK" in note for note in picture.notes)


def test_other_depths_and_color_models_are_refused(photo):
    assert "float" in refusal(make_tiff(photo.astype(np.float32), t339=[3, 3, 3]))
    assert "signed" in refusal(make_tiff(photo.astype(np.int16), t339=[2, 2, 2]))
    assert "32-bit" in refusal(make_tiff(photo.astype(np.uint32)))
    assert "CMYK" in refusal(make_tiff(np.dstack([photo, photo[:, :, 0]]), t262=5))
    assert "CIELab" in refusal(make_tiff(photo, t262=8))
    assert "1023" in refusal(b"P5\n1 1\n1023\n\1\2")
    jpeg = bytearray(encode(".jpg", photo))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 12
    assert "12-bit" in refusal(bytes(jpeg))


@pytest.mark.parametrize("transfer", [16, 18])
def test_png_with_an_hdr_transfer_function_is_refused(transfer):
    data = make_png(1, 1, 8, 2, bytes(4), (b"cICP", bytes([9, transfer, 0, 1])))
    assert "high dynamic range" in refusal(data)
    assert load(make_png(1, 1, 8, 2, bytes(4), (b"cICP", bytes([1, 13, 0, 1])))).size == (1, 1)


def test_several_images_in_a_file_are_refused(photo, tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in photo)
    animated = make_png(32, 24, 8, 2, rows, (b"acTL", struct.pack(">II", 2, 0)))
    assert "animated PNG" in refusal(animated)
    still = make_png(32, 24, 8, 2, rows, (b"acTL", struct.pack(">II", 1, 0)))
    assert np.array_equal(load(still).color, photo)
    chunk = b"VP8X" + struct.pack("<IIHBHB", 10, 0x02, 0, 0, 0, 0)
    assert "animated WebP" in refusal(b"RIFF" + struct.pack("<I", 4 + 18) + b"WEBP" + chunk)
    cv2.imwritemulti(str(tmp_path / "pages.tiff"), [photo, photo])
    assert "several pages" in refusal(tmp_path / "pages.tiff")
    ppm = encode(".ppm", photo)
    assert "more than one" in refusal(ppm + ppm)


# --- alpha ----------------------------------------------------------------------------


def over(color, alpha, background):
    return (color * alpha + background * (255 - alpha)) / 255


@given(
    st.lists(st.integers(0, 255), min_size=3, max_size=3),
    st.integers(0, 255),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_alpha_is_composited(color, alpha, background):
    pixels = np.array([[[*color, alpha]]], np.uint8)
    picture = load(encode(".png", pixels))
    result = composite(picture, background)[0, 0]
    expected = [over(c, alpha, b) for c, b in zip(color, background, strict=True)]
    assert np.abs(result - np.array(expected)).max() <= 0.5


@given(st.integers(0, 255), st.integers(0, 255))
def test_tiff_alpha_of_both_kinds_is_composited(color, alpha):
    straight = np.array([[[color, color, color, alpha]]], np.uint8)
    expected = over(color, alpha, 255)
    for scale in (np.uint8(1), np.uint16(257)):
        picture = load(make_tiff(straight * scale, t338=2))
        assert abs(float(composite(picture, WHITE)[0, 0, 0]) - expected) <= 1
    shade = round(color * alpha / 255)
    premultiplied = np.array([[[shade, shade, shade, alpha]]], np.uint8)
    for scale in (np.uint8(1), np.uint16(257)):
        picture = load(make_tiff(premultiplied * scale, t338=1))
        assert abs(float(composite(picture, WHITE)[0, 0, 0]) - expected) <= 1


def test_a_fourth_tiff_sample_that_is_not_stated_to_be_alpha_is_refused(photo):
    pixels = np.dstack([photo, photo[:, :, 0]])
    assert "stated alpha" in refusal(make_tiff(pixels))
    assert "stated alpha" in refusal(make_tiff(pixels, t338=0))
    assert "stated alpha" in refusal(make_tiff(pixels[:, :, :2].copy(), t338=2, t262=1))


@pytest.mark.parametrize(
    ("bits", "color", "rows", "key"),
    [
        (8, 0, b"\0\5\6", b"\0\5"),
        (16, 0, b"\0\0\5\0\6", b"\0\5"),
        (2, 0, b"\0\x10", b"\0\0"),
        (8, 2, b"\0\1\2\3\1\2\4", b"\0\1\0\2\0\3"),
        (16, 2, b"\0\0\1\0\2\0\3\0\1\0\2\0\4", b"\0\1\0\2\0\3"),
    ],
)
def test_a_transparent_color_of_a_png_is_alpha(bits, color, rows, key):
    picture = load(make_png(2, 1, bits, color, rows, (b"tRNS", key)))
    assert picture.alpha.tolist() == [[0, 255]]


def test_a_fully_opaque_image_has_no_alpha(photo):
    opaque = np.dstack([photo, np.full((24, 32), 255, np.uint8)])
    assert load(encode(".png", opaque)).alpha is None


@st.composite
def planes(draw):
    """Draw the gray values and the alphas of two images of four pixels."""
    values = st.lists(st.integers(0, 255), min_size=4, max_size=4)
    return [np.array(draw(values), np.uint8).reshape(2, 2) for _ in range(4)]


@given(planes())
def test_every_difference_in_alpha_is_seen(drawn):
    gray1, gray2, alpha1, alpha2 = drawn
    first = Picture("a", np.dstack([gray1] * 3), alpha1)
    second = Picture("b", np.dstack([gray2] * 3), alpha2)
    pair = make_pair(first, second)
    if (alpha1 != alpha2).any():
        assert not pair.identical
        assert len(pair.renderings) == 2
        assert any("alpha differs" in note for note in pair.notes)
    else:
        assert len(pair.renderings) == 1


@pytest.mark.parametrize("background", [WHITE, BLACK, (127, 127, 127), (128, 128, 128)])
def test_white_on_transparent_differs_from_white_on_white(background):
    white = np.full((2, 2, 3), 255, np.uint8)
    transparent = Picture("a", white, np.zeros((2, 2), np.uint8))
    for color in (white, white * 0, white // 2):
        pair = make_pair(
            transparent, Picture("b", color), policy=DecodePolicy(background=background)
        )
        assert not pair.identical


def test_colors_beneath_full_transparency_do_not_count(photo):
    alpha = np.zeros((24, 32), np.uint8)
    pair = make_pair(Picture("a", photo, alpha), Picture("b", 255 - photo, alpha))
    assert pair.identical
    assert pair.notes == ("alpha composited over white",)


def test_invalid_policies_are_refused():
    with pytest.raises(UsageError):
        DecodePolicy(background=(0, 0, 256))
    with pytest.raises(UsageError):
        DecodePolicy(max_pixels=0)


# --- limits and damage ----------------------------------------------------------------


def test_the_pixel_limit_holds_before_decoding(monkeypatch, photo):
    def never(data, header):
        raise AssertionError("decoded")

    monkeypatch.setattr("dps_infer.images.decode.decode", never)
    small = DecodePolicy(max_pixels=24 * 32 - 1)
    assert "50000x50000" in refusal(bomb())
    for kind in TAGGED:
        assert "32x24" in refusal(oriented(kind, photo, 1), policy=small)
    for extension in (".bmp", ".ppm", ".webp", ".jpg"):
        assert "32x24" in refusal(encode(extension, photo), policy=small)
    assert "32x24" in refusal(encode(".pbm", photo[:, :, 0]), policy=small)


def test_the_pixel_limit_can_be_raised(photo):
    exact = DecodePolicy(max_pixels=24 * 32)
    assert load(encode(".png", photo), policy=exact).size == (32, 24)


EVERY_KIND = [
    (".png", ()),
    (".jpg", ()),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".webp", ()),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
    (".bmp", ()),
    (".tiff", ()),
    (".ppm", ()),
]


@pytest.mark.parametrize(("extension", "parameters"), EVERY_KIND)
def test_truncated_images_are_refused_wherever_they_end(photo, extension, parameters, capfd):
    data = encode(extension, photo, *parameters)
    for end in {*range(1, min(60, len(data) - 1)), *range(60, len(data), 37), len(data) - 2}:
        refusal(data[:end])
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_that_ends_too_early_behind_an_end_marker_is_refused(photo, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(".jpg", noise)
    assert "damaged JPEG" in refusal(data[: len(data) // 2] + b"\xff\xd9")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("offset", [2**62, 2**63, 2**64 - 1])
def test_a_bigtiff_offset_beyond_the_file_is_refused(photo, offset):
    header = b"II" + struct.pack("<HHHQ", 43, 8, 0, offset)
    assert "ends too early" in refusal(header)
    body = b"Exif\0\0" + header
    jpeg = encode(".jpg", photo)
    whole = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
    assert load(whole).size == (32, 24)


def test_a_thumbnail_does_not_end_a_jpeg(photo):
    thumbnail = b"\xff\xe1\0\x0cExif\0\0\xff\xd9\0\0"
    data = encode(".jpg", photo)
    whole = data[:2] + thumbnail + data[2:]
    assert load(whole).size == (32, 24)
    assert "ends too early" in refusal(whole[:-2])
    assert "ends too early" in refusal(whole[:20])


def test_damaged_pngs_are_refused_quietly(photo, capfd):
    data = bytearray(encode(".png", photo))
    data[len(data) // 2] ^= 0xFF
    assert "checksum" in refusal(bytes(data))
    assert "damaged" in refusal(make_png(4, 4, 8, 2, b"\0" * 5))
    assert capfd.readouterr() == ("", "")


@given(st.data())
def test_damaged_headers_never_break_the_decoder(data):
    """Every damaged file gives a picture or a refusal."""
    kind = data.draw(st.sampled_from([*TAGGED, ".bmp", ".ppm"]))
    photo = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    source = encode(kind, photo) if kind.startswith(".") else oriented(kind, photo, 3)
    damaged = bytearray(source)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        picture = load(bytes(damaged), policy=DecodePolicy(max_pixels=1_000_000))
    except ImageError:
        return
    assert picture.color.dtype == np.uint8
    assert picture.color.shape[2] == 3


def test_decoding_passes_on_what_other_threads_write(photo, capfd):
    times = 20
    stop = threading.Event()
    written = 0

    def chatter():
        nonlocal written
        while not stop.is_set():
            os.write(2, b"chatter\n")
            written += 1

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        for _ in range(times):
            load(encode(".png", photo))
    finally:
        stop.set()
        thread.join()
    lines = capfd.readouterr().err.splitlines()
    assert set(lines) == {"chatter"}
    # A write during the moment in which the descriptor is restored may be lost.
    assert written - times <= len(lines) <= written


# --- arrays, sizes --------------------------------------------------------------------


def test_arrays_are_not_copied(photo):
    picture = load(photo)
    assert np.shares_memory(picture.color, photo)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((4, 4, 3), np.float32), "pass value_range=(0, 1)"),
        (np.zeros((4, 4, 3), np.uint16), "pass value_range=(0, 65535)"),
        (np.zeros((3, 5, 5), np.uint8), "pass channel_last=False"),
        (np.zeros((5, 5, 5), np.uint8), "[height, width, channels]"),
        (np.zeros((2, 4, 4, 3), np.uint8), "compare_batch"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (None, "NoneType"),
        (b"", "empty"),
    ],
)
def test_wrong_arrays_are_refused(array, expected):
    assert expected in refusal(array)


def test_different_sizes_are_refused_naming_both(photo):
    with pytest.raises(ImageError, match=r"a\.png is 32x24, b\.png is 24x32"):
        make_pair(Picture("a.png", photo), Picture("b.png", photo.transpose(1, 0, 2)))


sides = st.integers(1, 40)


@given(sides, sides, sides, sides, st.integers(0, 255))
def test_a_resize_gives_the_first_size_and_keeps_a_flat_color(width, height, wide, high, value):
    first = Picture("a", np.zeros((height, width, 3), np.uint8))
    second = Picture("b", np.full((high, wide, 3), value, np.uint8))
    pair = make_pair(first, second, resize=True)
    assert pair.renderings[0][1].shape == (height, width, 3)
    assert (pair.renderings[0][1] == value).all()
    resized = any("resized" in note for note in pair.notes)
    assert resized == ((wide, high) != (width, height))
