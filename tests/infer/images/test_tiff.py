"""TIFF: every layout is decoded to its own samples or refused, and damage is refused."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="writes the fax strips")

from infer_helpers import upright
from tiff_files import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    DEFLATE,
    FAX4,
    JPEG,
    LZW,
    NONE,
    PACKBITS,
    PALETTE,
    RGB,
    UNASSOCIATED,
    WHITE_IS_ZERO,
    YCBCR,
    compress_lzw,
    compress_packbits,
    write_tiff,
)

from dps_infer.errors import ImageError
from dps_infer.images.decode import load_picture
from dps_infer.images.formats import tiff, tiff_tags
from dps_infer.images.formats.tiff_data import inflates_to, lzw_expands_to, unpacks_to

HEIGHT, WIDTH = 37, 45
MODELS = (
    (WHITE_IS_ZERO, 1, None),
    (BLACK_IS_ZERO, 1, None),
    (PALETTE, 1, None),
    (RGB, 3, None),
    (RGB, 4, ASSOCIATED),
    (RGB, 4, UNASSOCIATED),
    (YCBCR, 3, None),
)
PALETTE_TAG = 320


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as refused:
        load_picture(data, label="test")
    return str(refused.value)


def make_samples(bits: int, channels: int, compression: int) -> np.ndarray:
    """Draw a pattern that no turn or exchange of channels leaves as it is: [H, W, C]."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    if compression == JPEG:  # smooth, so that JPEG changes it little
        planes = [columns * 3, rows * 4, (rows + columns) * 2]
    else:
        planes = [columns * 5 + rows * 3, columns * 2 + rows * 7, (rows + columns) * 3, columns * 4]
    planes = [plane % (1 << min(bits, 8)) * (257 if bits == 16 else 1) for plane in planes]
    samples = np.stack(planes[:channels], axis=2)
    if bits == 16:
        samples += np.arange(WIDTH)[None, :, None]  # low bytes, to be rounded
    return np.minimum(samples, (1 << bits) - 1).astype(np.uint16 if bits == 16 else np.uint8)


def layouts():
    for (photometric, channels, extra), bits, compression in itertools.product(
        MODELS, (1, 2, 4, 8, 16), (NONE, LZW, DEFLATE, PACKBITS, JPEG, FAX4)
    ):
        if channels > 1 and bits < 8:
            continue
        if compression == JPEG and (bits != 8 or photometric not in (BLACK_IS_ZERO, YCBCR)):
            continue
        if photometric == YCBCR and compression != JPEG:
            continue
        if compression == FAX4 and bits != 1:
            continue
        for separate, tile, rows, order, predictor in itertools.product(
            (False, True), (None, (16, 32)), (1, 8, 100), "<>", (False, True)
        ):
            if (separate and (channels == 1 or compression == JPEG)) or (tile and rows > 1):
                continue
            if predictor and (compression not in (LZW, DEFLATE) or bits < 8):
                continue
            yield {
                "photometric": photometric,
                "bits": bits,
                "compression": compression,
                "separate": separate,
                "tile": tile,
                "rows": rows,
                "order": order,
                "predictor": predictor,
                "extra": extra,
            }


LAYOUTS = list(layouts())
LUT = np.random.default_rng(0).integers(0, 256, (3, 256))


def expected_pixels(samples: np.ndarray, layout: dict) -> tuple[np.ndarray, np.ndarray | None]:
    """Return color [H, W, 3] and alpha, by the TIFF specification and the decode policy."""
    bits = layout["bits"]
    values = samples.astype(int)
    if layout["photometric"] == PALETTE:
        return LUT[:, values[:, :, 0]].transpose(1, 2, 0), None
    values = (values + 128) // 257 if bits == 16 else values * 255 // ((1 << bits) - 1)
    if layout["photometric"] == WHITE_IS_ZERO:
        values = 255 - values
    alpha = values[:, :, 3] if values.shape[2] == 4 else None
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[:, :, :3], alpha


def check_layout(layout: dict, orientation: int) -> str:
    channels = next(c for p, c, e in MODELS if (p, e) == (layout["photometric"], layout["extra"]))
    samples = make_samples(layout["bits"], channels, layout["compression"])
    tags = {}
    if layout["photometric"] == PALETTE:
        tags[PALETTE_TAG] = [int(v) * 257 for v in LUT[:, : 1 << min(layout["bits"], 8)].ravel()]
    data = write_tiff(samples, orientation=orientation, tags=tags, **layout).data
    try:
        picture = load_picture(data, label="test")
    except ImageError as error:
        return str(error)
    color, alpha = (
        None if plane is None else upright(orientation, plane)
        for plane in expected_pixels(samples, layout)
    )
    # 6: JPEG at quality 100. 1: libtiff rounds when it multiplies by alpha.
    tolerance = 6 if layout["compression"] == JPEG else 0
    if picture.premultiplied and layout["extra"] == UNASSOCIATED:
        color, tolerance = (color * alpha[:, :, None] + 127) // 255, 1
    assert picture.color.shape == color.shape
    assert np.abs(picture.color - color).max() <= tolerance
    assert (alpha is None) == (picture.alpha is None)
    assert alpha is None or np.array_equal(picture.alpha, alpha)
    return "right"


@pytest.mark.parametrize("photometric", sorted({model[0] for model in MODELS}))
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_every_layout_is_right_or_refused(photometric, bits):
    chosen = [
        (number, layout)
        for number, layout in enumerate(LAYOUTS)
        if (layout["photometric"], layout["bits"]) == (photometric, bits)
    ]
    outcomes = [
        check_layout(layout, orientation)
        for number, layout in chosen
        # All orientations of every layout take ten times as long, and are no other code.
        for orientation in (1 + number % 8, 1 + (number + 5) % 8)
    ]
    refusals = {outcome for outcome in outcomes if outcome != "right"}
    # Layouts are refused for what they are, not as damaged.
    assert all("TIFF" in outcome and "PNG" in outcome for outcome in refusals)
    assert not any("damaged" in outcome for outcome in refusals)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [NONE, LZW, DEFLATE, PACKBITS])
def test_common_layouts_are_decoded(bits, channels, compression):
    layout = {
        "photometric": RGB if channels == 3 else BLACK_IS_ZERO,
        "bits": bits,
        "compression": compression,
        "rows": 8,
        "extra": None,
    }
    for orientation in range(1, 9):
        assert check_layout(layout, orientation) == "right"
        if compression != NONE:
            assert check_layout({**layout, "tile": (16, 32)}, orientation) == "right"


@pytest.mark.parametrize("bits", [8, 16])
def test_uncommon_layouts_are_refused_with_advice(bits):
    pixels = make_samples(bits, 3, NONE)
    for compression, name in ((50000, "Zstandard"), (34712, "JPEG 2000"), (6, "old-style JPEG")):
        file = write_tiff(pixels, bits=bits)
        assert name in refusal(file.with_value(259, compression))
    if bits == 16:
        assert "interleaved" in refusal(write_tiff(pixels, bits=16, separate=True).data)
    else:
        assert "save it in strips" in refusal(write_tiff(pixels, tile=(16, 16)).data)


CODERS = (
    (LZW, 8),
    (LZW, 16),
    (DEFLATE, 8),
    (DEFLATE, 16),
    (PACKBITS, 8),
    (PACKBITS, 16),
    (JPEG, 8),
    (FAX4, 1),
)


@pytest.mark.parametrize(("compression", "bits"), CODERS)
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_damage_in_compressed_parts_is_refused(compression, bits, tile, capfd):
    channels = 1 if bits == 1 else 3
    samples = np.random.default_rng(0).integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
    samples = samples.astype(np.uint16 if bits == 16 else np.uint8)
    file = write_tiff(
        samples,
        bits=bits,
        photometric=YCBCR if compression == JPEG else None,
        compression=compression,
        tile=tile,
        rows=8,
    )
    load_picture(file.data, label="sound")
    for index, (_, size) in enumerate(file.parts):
        assert "damaged" in refusal(file.with_part(index, bytes(size)))
        half = file.data[file.parts[index][0] :][: size // 2]
        assert "damaged" in refusal(file.with_part(index, half + bytes(size - size // 2)))
        sizes = 325 if tile else 279
        assert "damaged" in refusal(file.with_value(sizes, size // 2, index))
    assert capfd.readouterr() == ("", "")


CHECKS = {
    LZW: (lzw_expands_to, compress_lzw),
    PACKBITS: (unpacks_to, compress_packbits),
    DEFLATE: (inflates_to, zlib.compress),
}


@pytest.mark.parametrize("compression", CHECKS)
@given(data=st.binary(min_size=1), repeats=st.sampled_from([1, 2000]))
def test_the_length_of_compressed_data_is_exact(compression, data, repeats):
    data *= repeats
    check, compress = CHECKS[compression]
    coded, length = memoryview(compress(data)), len(data)
    assert check(coded, length, length)
    assert check(coded, length - 1, length + 1)
    assert not check(coded, length + 1, length + 9)
    assert not check(coded, 0, length - 1)
    assert not check(coded[: len(coded) // 2], length, length)
    # A pad byte is usual; more is a sign of damage.
    assert check(memoryview(bytes(coded) + b"\0"), length, length)
    assert compression == DEFLATE or not check(memoryview(bytes(coded) + b"x" * 9), length, length)


@pytest.mark.parametrize("compression", CHECKS)
@given(noise=st.binary(max_size=200))
def test_noise_is_never_more_than_refused(compression, noise):
    assert CHECKS[compression][0](memoryview(noise), 10_000, 10_000) is False


def test_lzw_of_long_data_clears_its_table():
    data = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    coded = compress_lzw(data)
    assert lzw_expands_to(memoryview(coded), len(data), len(data))
    assert not lzw_expands_to(memoryview(coded), len(data) + 1, len(data) + 1)


def test_lzw_of_nothing_but_clear_codes_is_refused_at_once():
    """Each clear code starts a new table, which takes time."""
    clears = memoryview(int("100000000" * 8 * 100_000, 2).to_bytes(900_000, "big"))
    started = time.perf_counter()
    assert not lzw_expands_to(clears, 1, 1 << 30)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [NONE, LZW, DEFLATE, PACKBITS])
def test_misplaced_parts_are_refused(bits, compression):
    file = write_tiff(make_samples(bits, 3, NONE), bits=bits, compression=compression, rows=8)
    starts, sizes = 273, 279
    for index, (_, size) in enumerate(file.parts):
        for tag, value in (
            (starts, 0),
            (starts, 4),
            (starts, file.parts[index - 1][0]),
            (starts, file.parts[index - 1][0] + 2),
            (starts, len(file.data) - size + 1),
            (starts, 0xFFFFFFFF),
            (sizes, 0),
            (sizes, len(file.data)),
            (sizes, 0xFFFFFFFF),
        ):
            message = refusal(file.with_value(tag, value, index))
            assert "damaged" in message
    if compression == NONE:
        assert "too short" in refusal(file.with_value(sizes, size - 1, len(file.parts) - 1))


def test_wrong_sizes_are_refused():
    file = write_tiff(make_samples(8, 3, NONE), rows=8)
    assert "number of strips" in refusal(file.with_value(257, HEIGHT + 8))
    assert "number of strips" in refusal(file.with_value(278, 4))
    assert "rows per strip" in refusal(file.with_value(278, 0))
    tiled = write_tiff(make_samples(8, 4, NONE), tile=(16, 32), extra=UNASSOCIATED)
    assert load_picture(tiled.data, label="sound").size == (WIDTH, HEIGHT)
    assert "tile size" in refusal(tiled.with_value(322, 33))
    assert "far larger" in refusal(tiled.with_value(322, 1 << 24))


def test_tags_are_not_expanded():
    """A hundred kilobytes of tags once took gigabytes: each may claim any number of values."""
    number = 8000
    entry = struct.pack("<HHII", 256, 3, 50_000, 8)
    data = b"II*\0" + struct.pack("<IH", 8, number) + entry * number + bytes(4)
    refusal(data)
    few = tiff_tags.MOST_ENTRIES - 10
    unknown = b"".join(struct.pack("<HHII", 40_000 + k, 3, 50_000, 8) for k in range(few))
    refusal(b"II*\0" + struct.pack("<IH", 8, few) + unknown + bytes(4))


def test_pages_without_end_are_refused():
    """Reduced versions are no pages, but their number is limited."""
    file = write_tiff(make_samples(8, 3, NONE)).data
    (first,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, first)
    data = bytearray(file)
    following = first + 2 + 12 * count
    for _ in range(tiff.MOST_PAGES + 1):
        struct.pack_into("<I", data, following, len(data))
        following = len(data) + 2 + 12
        data += struct.pack("<HHHIII", 1, 254, 4, 1, 1, 0)
    assert "several pages" in refusal(bytes(data))


@pytest.mark.skipif(not hasattr(os, "dup2"), reason="needs file descriptors")
def test_without_stderr_what_only_messages_show_is_refused(tmp_path):
    """Damage in JPEG data could not be seen then."""
    samples = make_samples(8, 3, JPEG)
    for name, compression in (("lzw", LZW), ("jpeg", JPEG)):
        photometric = YCBCR if compression == JPEG else RGB
        file = write_tiff(samples, compression=compression, photometric=photometric)
        (tmp_path / name).write_bytes(file.data)
    code = (
        "import os, sys; os.close(2); from dps_infer.images.decode import load_picture\n"
        "try: print(load_picture(sys.argv[1], label='').size)\n"
        "except Exception as error: print(error)"
    )
    for name, expected in (("lzw", "(45, 37)"), ("jpeg", "cannot be checked for damage")):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True
        )
        assert expected in done.stdout
