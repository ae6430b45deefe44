"""Images in memory: every form gives the same pixels, and every mistake is one clear line."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import DecodePolicy, load_picture, make_pair

PIL = pytest.importorskip("PIL.Image")


def load(source, **layout):
    return load_picture(source, label="image", policy=DecodePolicy(**layout))


def refusal(source, **layout) -> str:
    with pytest.raises(ImageError) as refused:
        load(source, **layout)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def opened(path):
    """An image of Pillow that is not decoded yet, and holds no open file."""
    return PIL.open(io.BytesIO(path.read_bytes()))


@pytest.fixture
def colorful() -> np.ndarray:
    """Much red and little blue, so that the order of the channels shows; uint8 RGB [24, 32, 3]."""
    rows, columns = np.mgrid[0:24, 0:32]
    return np.stack([200 + rows * 2, columns * 5, rows + columns], axis=2).astype(np.uint8)


# --- arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (lambda p: p, {}),
        (lambda p: p, {"value_range": (0, 255), "channel_order": "rgb"}),
        (lambda p: p[..., ::-1], {"channel_order": "bgr"}),
        (lambda p: p.transpose(2, 0, 1), {"channel_last": False}),
        (
            lambda p: p[..., ::-1].transpose(2, 0, 1),
            {"channel_last": False, "channel_order": "bgr"},
        ),
        (lambda p: p / 255, {"value_range": (0, 1)}),
        (lambda p: (p / 255).astype(np.float32), {"value_range": (0, 1)}),
        (lambda p: p / 127.5 - 1, {"value_range": (-1, 1)}),
        (lambda p: p.astype(np.float32), {"value_range": (0, 255)}),
        (lambda p: p.astype(np.int64), {"value_range": (0, 255)}),
        (lambda p: p.astype(np.uint16) * 257, {"value_range": (0, 65535)}),
        (lambda p: np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]), {}),
    ],
)
def test_arrays_in_every_layout_are_the_same_pixels(colorful, make, layout):
    picture = load(make(colorful), **layout)
    assert np.array_equal(picture.color, colorful)
    assert picture.alpha is None
    assert picture.notes == ()


def test_gray_and_alpha(colorful):
    gray = colorful[:, :, 0]
    expected = np.repeat(gray[:, :, None], 3, axis=2)
    for array in (gray, gray[:, :, None], np.dstack([gray, gray])):
        assert np.array_equal(load(array).color, expected)
    assert np.array_equal(load(np.dstack([gray, gray])).alpha, gray)
    bgra = np.dstack([colorful[..., ::-1], gray])
    picture = load(bgra, channel_order="bgr")
    assert np.array_equal(picture.color, colorful)
    assert np.array_equal(picture.alpha, gray)


def test_rounding_to_8_bits_is_noted(colorful):
    picture = load(np.full((2, 2, 3), 0.5), value_range=(0, 1))
    assert picture.color[0, 0, 0] == 128
    assert picture.notes == ("image: float64 samples rounded to 8 bits",)


@pytest.mark.parametrize(
    ("array", "layout", "expected"),
    [
        (np.full((4, 4, 3), 0.5), {}, "expected uint8, or its range: pass value_range=(0, 1)"),
        (np.full((4, 4, 3), 0.5), {"value_range": (0, 255)}, "pass value_range=(0, 1) if"),
        (np.full((4, 4, 3), 1.5), {"value_range": (0, 1)}, "outside value_range=(0, 1)"),
        (np.full((4, 4, 3), -0.5), {"value_range": (0, 1)}, "values from -0.5 to -0.5"),
        (np.full((4, 4, 3), np.nan), {"value_range": (0, 1)}, "not finite"),
        (np.zeros((4, 4, 3), np.uint8), {"value_range": (0, 1)}, "is a uint8 array"),
        (np.zeros((4, 4, 3), bool), {}, "bool array"),
        (np.zeros((4, 4, 3), complex), {"value_range": (0, 1)}, "complex128"),
        (np.array([["a"]]), {}, "expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), {}, "pass channel_last=False"),
        (np.zeros((8, 8, 3), np.uint8), {"channel_last": False}, "pass channel_last=True"),
        (np.zeros((8, 8, 9), np.uint8), {}, "1 to 4 channels"),
        (np.zeros(8, np.uint8), {}, "gray [height, width]"),
        (np.ma.zeros((8, 8, 3), np.uint8), {}, "masked array"),
    ],
)
def test_mistakes_with_arrays(array, layout, expected):
    assert expected in refusal(array, **layout)


@pytest.mark.parametrize(
    "layout",
    [
        {"value_range": (1, 0)},
        {"value_range": (0, np.inf)},
        {"value_range": 255},
        {"channel_order": "bgra"},
    ],
)
def test_invalid_layouts(layout):
    with pytest.raises(UsageError):
        DecodePolicy(**layout)


def test_a_bgr_array_beside_a_file_is_refused(colorful):
    reference = load(encode(".png", colorful))
    bgr = np.ascontiguousarray(colorful[..., ::-1])
    with pytest.raises(ImageError, match='image: seems to be BGR: pass channel_order="bgr"'):
        make_pair(reference, load(bgr))
    assert make_pair(reference, load(bgr, channel_order="bgr")).identical
    assert not make_pair(reference, load(bgr, channel_order="rgb")).identical
    with pytest.raises(ImageError, match="reverse the channels of one"):
        make_pair(load(colorful), load(bgr))


def test_ordinary_changes_are_not_taken_for_bgr(colorful):
    darker = (colorful * 0.5).astype(np.uint8)
    gray = np.repeat(colorful[:, :, :1], 3, axis=2)
    for changed in (darker, gray, 255 - colorful, np.roll(colorful, 1, axis=2)):
        make_pair(load(colorful), load(changed))


def test_a_strong_turn_of_hues_is_not_taken_for_bgr():
    # Shades of orange.
    light = np.random.default_rng(3).uniform(0.2, 1, (40, 60, 1))
    reference = (light * (230, 150, 40)).astype(np.uint8)
    hsv = cv2.cvtColor(reference, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 107) % 256  # 150 degrees
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    difference, reversed_ = (
        np.abs(reference.astype(int) - other).mean() for other in (turned, turned[..., ::-1])
    )
    assert reversed_ < difference / 4
    make_pair(load(reference), load(turned))


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (40, 40)])
def test_red_and_blue_images_are_not_taken_for_bgr(shape):
    red, blue = np.zeros((2, *shape, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert not make_pair(load(red), load(blue)).identical


# --- tensors, Pillow, files -----------------------------------------------------------


def test_tensors(colorful):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(colorful)
    assert np.array_equal(load(tensor).color, colorful)
    floats = tensor.permute(2, 0, 1) / 255
    assert np.array_equal(load(floats, value_range=(0, 1), channel_last=False).color, colorful)
    assert "requires grad" in refusal(floats.requires_grad_(), value_range=(0, 1))
    assert "Tensor that NumPy cannot read" in refusal(tensor.to(torch.bfloat16))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "PA", "I;16"])
def test_images_of_pillow_are_like_their_files(tmp_path, colorful, mode):
    image = PIL.fromarray(colorful)
    if mode == "I;16":
        image = PIL.fromarray(colorful[:, :, 0].astype(np.uint16) * 200)
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    elif mode.endswith("A"):
        image = image.convert(mode)
        image.putalpha(PIL.fromarray(colorful[:, :, 0]))
    else:
        image = image.convert(mode)
    picture = load(image)
    if mode == "PA":
        assert np.array_equal(picture.color, np.asarray(image.convert("RGB")))
        return
    image.save(tmp_path / "a.png")
    file = load(tmp_path / "a.png")
    assert np.array_equal(picture.color, file.color)
    assert (picture.alpha is None) == (file.alpha is None)
    assert picture.alpha is None or np.array_equal(picture.alpha, file.alpha)
    assert len(picture.notes) == len(file.notes)
    assert np.array_equal(load(opened(tmp_path / "a.png")).color, file.color)


def test_transparent_palettes_of_pillow(tmp_path, colorful):
    image = PIL.fromarray(colorful).convert("P")
    image.save(tmp_path / "a.png", transparency=int(np.asarray(image)[0, 0]))
    picture, file = load(opened(tmp_path / "a.png")), load(tmp_path / "a.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, file.alpha)


def test_mistakes_with_images_of_pillow(tmp_path, colorful):
    image = PIL.fromarray(colorful)
    for mode in ("CMYK", "YCbCr", "F", "I", "HSV"):
        assert f"mode {mode}: convert it first" in refusal(image.convert(mode))
    turned = image.getexif()
    turned[274] = 6
    image.save(tmp_path / "a.jpg", exif=turned)
    assert "ImageOps.exif_transpose(image)" in refusal(opened(tmp_path / "a.jpg"))
    frames = [image, image.transpose(PIL.Transpose.FLIP_LEFT_RIGHT)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert "several frames" in refusal(opened(tmp_path / "a.gif"))
    image.save(tmp_path / "b.png")
    data = (tmp_path / "b.png").read_bytes()
    assert "cannot be read" in refusal(PIL.open(io.BytesIO(data[: len(data) // 2])))
    with pytest.raises(ImageError, match="more than the limit"):
        load(image, max_pixels=10)


def test_profiles_of_pillow_are_noted(colorful):
    cms = pytest.importorskip("PIL.ImageCms")
    image = PIL.fromarray(colorful)
    image.info["icc_profile"] = cms.ImageCmsProfile(cms.createProfile("LAB")).tobytes()
    (note,) = load(image).notes
    assert "not applied" in note


def test_open_files(tmp_path, colorful):
    data = encode(".png", colorful)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert np.array_equal(load(io.BytesIO(data)).color, colorful)
    with path.open("rb") as file:
        assert np.array_equal(load(file).color, colorful)
        assert refusal(file).startswith(f"{path}: is empty, or was read before")
    with path.open(encoding="latin-1") as text:
        assert "opened as text" in refusal(text)
    assert "cannot be read" in refusal(file)


def test_batches(context, colorful):
    torch = pytest.importorskip("torch")
    changed = np.ascontiguousarray(colorful[::-1])
    expected = [context.compare(colorful, image).distance for image in (colorful, changed)]
    stack = np.stack([colorful, changed])
    tensor = torch.from_numpy(stack).permute(0, 3, 1, 2) / 255
    for reference, candidates, layout in (
        (colorful, stack, {}),
        (PIL.fromarray(colorful), [PIL.fromarray(image) for image in stack], {}),
        (tensor[0], tensor, {"value_range": (0, 1), "channel_last": False}),
    ):
        found = context.compare_batch(reference, candidates, **layout)
        # A batch sums in another order.
        assert [one.distance for one in found] == pytest.approx(expected, rel=1e-5)


def test_layouts_of_one_call(context, colorful):
    floats = colorful[..., ::-1] / 255
    same = context.compare(
        encode(".png", colorful), floats, value_range=(0, 1), channel_order="bgr"
    )
    assert same.identical
    with pytest.raises(ImageError, match="candidate: is a float64 array"):
        context.compare(colorful, floats)
