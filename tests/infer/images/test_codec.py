"""JPEG decoding: simplejpeg gives OpenCV's pixels, and OpenCV decodes the files that it refuses."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.errors import ImageError
from dps_infer.images import codec
from dps_infer.images.decode import load_picture
from dps_infer.images.formats.header import Header
from dps_infer.images.headers import read_header

SAMPLINGS = {
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def with_opencv(data: bytes) -> np.ndarray:
    """Decode to RGB [H, W, 3], as OpenCV does without our policy."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    code = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, code)


def pillow_jpeg(pixels: np.ndarray, mode: str, **options: object) -> bytes:
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(pixels).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def decode(data: bytes):
    return codec.decode(data, read_header(data))


@pytest.fixture
def without_opencv(monkeypatch):
    """Fail on a call of OpenCV's decoder through `codec`."""

    def forbidden(data: bytes) -> None:
        raise AssertionError("decoded with OpenCV")

    monkeypatch.setattr(codec, "_decode_with_opencv", forbidden)


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (7, 9), (33, 31), (64, 65)])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_sound_jpegs_have_opencvs_pixels(without_opencv, size, progressive, sampling):
    options = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling])
    options += (cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    for quality in (30, 100):
        data = encode(".jpg", noise(*size), *options, cv2.IMWRITE_JPEG_QUALITY, quality)
        image, warnings = decode(data)
        assert np.array_equal(image[0], with_opencv(data))
        assert image[1] is None
        assert warnings == []


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 31)])
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_other_color_models_have_opencvs_pixels(without_opencv, size, mode):
    options = {"keep_rgb": True} if mode == "RGB" else {}
    data = pillow_jpeg(noise(*size), mode, subsampling=0 if mode != "L" else -1, **options)
    image, _ = decode(data)
    assert np.array_equal(image[0], with_opencv(data))


def test_a_subsampling_that_simplejpeg_refuses_is_decoded_by_opencv(capfd):
    data = pillow_jpeg(noise(33, 31), "CMYK", subsampling=2)
    image, warnings = decode(data)
    assert np.array_equal(image[0], with_opencv(data))
    assert warnings == []
    with pytest.raises(ImageError, match="premature end of data segment"):
        decode(data[: len(data) // 2] + b"\xff\xd9")
    assert capfd.readouterr().err == ""


def test_surplus_bytes_in_a_jpeg_are_noted(capfd):
    data = encode(".jpg", noise(33, 31))
    for place in (data.index(b"\xff\xc0"), len(data) - 2):
        picture = load_picture(data[:place] + bytes(64) + data[place:], label="a.jpg")
        assert np.array_equal(picture.color, with_opencv(data))
        (note,) = picture.notes
        assert note.startswith("a.jpg: the JPEG decoder warns: Corrupt JPEG data: ")
        assert "extraneous bytes" in note
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("progressive", [0, 1])
def test_damage_inside_a_jpeg_is_refused(progressive):
    data = encode(".jpg", noise(64, 64), cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    # Cut at many places and closed with an end marker, so that only the decoder can notice.
    for end in range(len(data) // 3, len(data) - 20, 97):
        with pytest.raises(ImageError, match="damaged"):
            load_picture(data[:end] + b"\xff\xd9", label="a.jpg")


def test_a_harmless_warning_does_not_hide_damage():
    """libjpeg prints only the first warning of an image."""
    data = encode(".jpg", noise(64, 64))
    frame = data.index(b"\xff\xc0")
    surplus = data[:frame] + bytes(9) + data[frame:]
    assert len(load_picture(surplus, label="a.jpg").notes) == 1
    twice = surplus[:-2] + bytes(5) + surplus[-2:]
    assert len(load_picture(twice, label="a.jpg").notes) == 2
    cut = surplus[: len(surplus) // 2] + b"\xff\xd9"
    with pytest.raises(ImageError, match="premature end"):
        load_picture(cut, label="a.jpg")


def test_data_that_a_scan_does_not_use_up_are_damage():
    """Without some of its bytes, a scan ends early, and the rest of its data is left over."""
    data = encode(".jpg", noise(64, 64))
    start = data.index(b"\xff\xda") + 20
    messages = []
    for place in range(start, len(data) - 20, 97):
        try:
            messages += load_picture(data[:place] + data[place + 12 :], label="a.jpg").notes
        except ImageError as error:
            messages.append(f"refused: {error}")
    left_over = [message for message in messages if "extraneous" in message]
    assert len(left_over) > 10
    assert all(message.startswith("refused") for message in left_over)


def test_a_damaged_profile_does_not_hide_damage(photo):
    """Two segments, of which each says that it is the first of three."""
    data = encode(".jpg", noise(64, 64))
    body = b"ICC_PROFILE\0\1\3" + bytes(200)
    segment = b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body
    whole = data[:2] + segment * 2 + data[2:]
    assert any("damaged ICC profile" in note for note in load_picture(whole, label="a.jpg").notes)
    with pytest.raises(ImageError, match="damaged"):
        load_picture(whole[: len(whole) // 2] + b"\xff\xd9", label="a.jpg")


def test_messages_of_opencvs_checks_stay_off_stderr(capfd):
    """It explains a failed check in several lines: here, a tile of more than 1 GiB."""
    tags = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 322: 20_000, 323: 16_000, 324: 8, 325: 9}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    image, _ = codec.decode(data, Header("BMP", 64, 64))
    assert image is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "dup2"), reason="needs file descriptors")
def test_without_stderr_damaged_jpegs_are_refused_too(tmp_path):
    whole = encode(".jpg", noise(33, 31))
    unusual = pillow_jpeg(noise(33, 31), "CMYK", subsampling=2)
    code = (
        "import os, sys; os.close(2); from dps_infer.images.decode import load_picture\n"
        "try: print(load_picture(sys.argv[1], label='').size)\n"
        "except Exception as error: print(error)"
    )
    for data, expected in (
        (whole, "(31, 33)"),
        (whole[: len(whole) // 2] + b"\xff\xd9", "premature end"),
        (unusual, "cannot be checked for damage"),
    ):
        (tmp_path / "a.jpg").write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, text=True
        )
        assert expected in done.stdout
