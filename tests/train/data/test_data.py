"""Images to train on: folders, the sample, dead leaves, crops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import COUNT, seeded, write_images

from dps_infer.errors import ImageError, UsageError
from dps_train.data import sources
from dps_train.data.crops import random_crops, resize_images, to_tensor
from dps_train.data.dead_leaves import dead_leaves
from dps_train.data.sources import Images, load_folder, load_held_out, load_split, read_pixels
from dps_train.distortions.distortion import quantize


def keys(images: Images) -> list[bytes]:
    return [image.tobytes() for image in images.images]


def refusal(error: type[Exception], function, *arguments: object) -> str:
    with pytest.raises(error) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- folders --------------------------------------------------------------------------


def test_a_folder_is_split_without_overlap(images_folder):
    training, held_out = load_split(str(images_folder), seeded())
    assert len(training.images) + len(held_out.images) == COUNT
    assert len(held_out.images) >= 1
    assert not set(keys(training)) & set(keys(held_out))
    assert {*keys(training), *keys(held_out)} == set(keys(load_folder(images_folder)))


def test_the_split_follows_the_seed(images_folder):
    def split(seed: int) -> list[list[bytes]]:
        return [keys(part) for part in load_split(str(images_folder), seeded(seed))]

    assert split(3) == split(3)
    assert len({str(split(seed)[1]) for seed in range(12)}) > 1


def test_a_folder_is_read_with_all_below_in_the_order_of_paths(tmp_path):
    write_images(tmp_path / "set" / "b", 2)
    write_images(tmp_path / "set" / "a", 1)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    (tmp_path / "set" / "folder.png").mkdir()
    images = load_folder(tmp_path / "set")
    paths = [tmp_path / "set" / name for name in ("a/0.png", "b/0.png", "b/1.png")]
    assert keys(images) == [read_pixels(path).tobytes() for path in paths]
    assert images.source == "set"


def test_pixels_are_rgb_and_what_the_file_holds(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "UPPER.PNG"), image[..., ::-1])
    assert all(np.array_equal(read, image) for read in load_folder(tmp_path).images)
    assert len(load_folder(tmp_path).images) == 2


def test_the_source_is_named_however_the_folder_is_written(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "photos", 1)
    monkeypatch.chdir(folder)
    assert load_folder(folder).source == "photos"
    assert load_folder(Path(".")).source == "photos"


def test_too_few_images(tmp_path):
    folder = write_images(tmp_path / "few", 4)
    message = refusal(UsageError, load_split, str(folder), seeded())
    assert str(folder) in message
    assert "4 images" in message
    empty = tmp_path / "empty"
    empty.mkdir()
    for function in (load_split, load_held_out):
        assert str(empty) in refusal(UsageError, function, str(empty), seeded())


def test_a_missing_folder_and_a_file(tmp_path):
    (tmp_path / "file.png").write_bytes(b"")
    for name in ("none", "file.png"):
        for function in (load_split, load_held_out):
            message = refusal(UsageError, function, str(tmp_path / name), seeded())
            assert f"{tmp_path / name} is not a folder" in message
            assert "sample" in message


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n cut short"])
def test_an_unreadable_image_is_named(tmp_path, content):
    folder = write_images(tmp_path / "set")
    (folder / "broken.png").write_bytes(content)
    assert str(folder / "broken.png") in refusal(ImageError, load_split, str(folder), seeded())


def test_every_image_of_a_folder_is_measured_on(images_folder):
    assert keys(load_held_out(str(images_folder), seeded())) == keys(load_folder(images_folder))


def test_the_hash_sees_pixels_sizes_and_order():
    first = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    second = first + 100
    base = Images("a", (first, second)).sha256()
    assert Images("b", (first.copy(), second.copy())).sha256() == base
    assert Images("a", (np.asfortranarray(first), second)).sha256() == base
    touched = first.copy()
    touched[1, 3, 2] ^= 1
    for other in (
        (touched, second),
        (second, first),
        (first,),
        (first, second, second),
        (first.reshape(4, 2, 3), second),
    ):
        assert Images("a", other).sha256() != base


# --- the sample -----------------------------------------------------------------------


@pytest.fixture
def marked_sample(monkeypatch):
    """A sample in which each photograph and each dead leaves image has one flat color."""
    colors: dict[str, int] = {}

    def flat(name: str) -> np.ndarray:
        number = colors.setdefault(name, len(colors))
        return np.full((40 + number, 60, 3), number, np.uint8)

    counter = iter(range(1000))
    monkeypatch.setattr(sources, "photograph", flat)
    monkeypatch.setattr(sources, "dead_leaves", lambda *_a, **_k: flat(f"leaves {next(counter)}"))
    return colors


def test_no_image_of_the_sample_is_both_trained_and_measured_on(marked_sample):
    training, held_out = load_split("sample", seeded())
    trained_on = {int(image[0, 0, 0]) for image in training.images}
    measured_on = {int(image[0, 0, 0]) for image in held_out.images}
    assert not trained_on & measured_on
    assert trained_on | measured_on == set(marked_sample.values())
    photographs = {n for name, n in marked_sample.items() if not name.startswith("leaves")}
    assert trained_on & photographs
    assert measured_on & photographs


def test_the_held_out_sample_is_the_same_alone(marked_sample):
    held_out = load_split("sample", seeded(4))[1]
    marked_sample.clear()
    alone = load_held_out("sample", seeded(4))
    assert [image.shape for image in alone.images] == [image.shape for image in held_out.images]


@pytest.mark.parametrize("name", [*sources.TRAINING_PHOTOGRAPHS, *sources.HELD_OUT_PHOTOGRAPHS])
def test_photographs_of_the_sample_are_at_hand(name):
    image = sources.photograph(name)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= 128
    assert image.flags.c_contiguous
    assert image.std() > 10


def test_an_unknown_photograph():
    assert "selfie" in refusal(ImageError, sources.photograph, "selfie")


# --- dead leaves ----------------------------------------------------------------------


def test_dead_leaves_follow_their_generator_alone():
    first = dead_leaves(64, seeded(1), leaves=50)
    np.random.seed(0)
    assert np.array_equal(dead_leaves(64, seeded(1), leaves=50), first)
    assert not np.array_equal(dead_leaves(64, seeded(2), leaves=50), first)
    generator = seeded(1)
    dead_leaves(64, generator, leaves=50)
    assert not np.array_equal(dead_leaves(64, generator, leaves=50), first)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert first.std() > 10


# --- batches --------------------------------------------------------------------------


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    ramp = [255 * rows // max(1, height - 1), 255 * columns // max(1, width - 1)]
    return np.stack([*ramp, np.full_like(rows, 128)], axis=2).astype(np.uint8)


def test_to_tensor():
    image = gradient(3, 5)
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 3, 5)
    assert tensor.dtype == torch.float32
    assert tensor[0, 1, 0, 4] == 1
    assert np.array_equal((tensor[0] * 255).round().permute(1, 2, 0).numpy(), image)


@settings(max_examples=30)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 9),
    st.integers(8, 70),
    st.integers(0, 99),
)
def test_crops_have_the_size_and_levels_of_files(height, width, count, size, seed):
    images = [gradient(height, width), gradient(width, height)]
    crops = random_crops(images, count, size, seeded(seed))
    assert crops.shape == (count, 3, size, size)
    assert crops.min() >= 0
    assert crops.max() <= 1
    assert torch.equal(quantize(crops), crops)
    assert torch.equal(crops, random_crops(images, count, size, seeded(seed)))


def test_crops_differ_and_come_from_all_images():
    images = [np.full((40, 50, 3), value, np.uint8) for value in (0, 51, 102, 255)]
    crops = random_crops(images, 10, 16, seeded())
    counts = [int((crops.flatten(1)[:, 0] == value / 255).sum()) for value in (0, 51, 102, 255)]
    assert sum(counts) == 10
    assert set(counts) == {2, 3}
    of_one = random_crops([gradient(80, 80)], 6, 16, seeded())
    assert len({crop.numpy().tobytes() for crop in of_one}) == 6


def test_half_of_the_crops_are_mirrored():
    crops = random_crops([gradient(80, 80)], 200, 16, seeded())
    mirrored = (crops[:, 1, 0, 0] > crops[:, 1, 0, -1]).float().mean()
    # Four standard errors of a fair coin thrown 200 times.
    assert abs(float(mirrored) - 0.5) < 4 * 0.5 / 200**0.5


def test_whole_images_are_shrunk_without_a_crop():
    images = [gradient(100, 60), gradient(64, 64)]
    batch = resize_images(images, 64)
    assert batch.shape == (2, 3, 64, 64)
    assert torch.equal(batch[1:], to_tensor(images[1]))
    assert torch.equal(quantize(batch), batch)
    assert batch[0, 0, 0].max() < 0.03
    assert batch[0, 0, -1].min() > 0.97
