"""The images that the embedded metric is pretrained on."""

import random

import numpy as np
import pytest
import torch

from dps_train.data.sources import HELD_OUT_PHOTOGRAPHS, TRAINING_PHOTOGRAPHS, photograph
from dps_train.pretrain.images import photographs as photographs_module
from dps_train.pretrain.images.mixture import KIND_SHARES, painters, pretraining_images
from dps_train.pretrain.images.photographs import (
    Photographs,
    load_photographs,
    photograph_crop,
    recolored,
    thumbnail,
)

SIDE = 96


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    return load_photographs()


def drawn(seed: int, count: int = 24, side: int = SIDE) -> torch.Tensor:
    return pretraining_images(count, side, torch.Generator().manual_seed(seed))


def test_images_are_uint8_rgb_of_the_side_asked_for() -> None:
    images = drawn(0, 3, 40)
    assert images.shape == (3, 3, 40, 40)
    assert images.dtype == torch.uint8


def test_no_images_are_an_empty_batch() -> None:
    assert drawn(0, 0).shape == (0, 3, SIDE, SIDE)


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    assert torch.equal(drawn(3), drawn(3))
    equal = (drawn(3) == drawn(4)).flatten(1).all(dim=1)
    assert not equal.any()


def test_a_generator_goes_on_from_call_to_call() -> None:
    generator = torch.Generator().manual_seed(5)
    first, second = (pretraining_images(8, SIDE, generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_global_random_state_is_neither_used_nor_touched() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    images = drawn(6)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert torch.equal(drawn(6), images)


def test_the_kinds_make_a_whole_and_photographs_lead() -> None:
    assert sum(KIND_SHARES.values()) == pytest.approx(1)
    others = sorted(share for kind, share in KIND_SHARES.items() if kind != "photograph")
    assert KIND_SHARES["photograph"] > others[-1] + others[-2]


def test_every_kind_can_be_drawn(photographs: Photographs) -> None:
    assert painters(photographs).keys() == KIND_SHARES.keys()


@pytest.mark.parametrize("side", [17, 64, 200])
@pytest.mark.parametrize("kind", KIND_SHARES)
def test_every_kind_draws_any_side(kind: str, side: int, photographs: Photographs) -> None:
    image = painters(photographs)[kind](side, np.random.default_rng(0))
    assert image.shape == (side, side, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("kind", KIND_SHARES)
def test_most_images_of_every_kind_have_contrast_where_they_are_looked_at(
    kind: str, photographs: Photographs
) -> None:
    rng = np.random.default_rng(1)
    images = [painters(photographs)[kind](SIDE, rng)[16:80, 16:80] for _ in range(20)]
    deviations = [image.std(axis=(0, 1)).max() for image in images]
    assert np.quantile(deviations, 0.2) > 3
    assert len({image.tobytes() for image in images}) == len(images)


def test_held_out_photographs_are_never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = {}

    def recording(name: str) -> np.ndarray:
        loaded[name] = photograph(name)
        return loaded[name]

    monkeypatch.setattr(photographs_module, "photograph", recording)
    drawn(7, 1)
    assert set(TRAINING_PHOTOGRAPHS) <= loaded.keys()
    # By their pixels: scikit-image has a second name for one of them.
    held_out = {photograph(name).tobytes() for name in HELD_OUT_PHOTOGRAPHS}
    assert held_out.isdisjoint(image.tobytes() for image in loaded.values())


def numbered_pixels(height: int, width: int) -> Photographs:
    """One photograph on which no two pixels are alike, so that a crop tells where it comes from."""
    numbers = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    pixels = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1)
    return Photographs((pixels.astype(np.uint8),), (1.0,))


def test_some_crops_keep_the_photographs_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_module, "RECOLORED_SHARE", 0.0)
    numbered = numbered_pixels(300, 400)
    rng = np.random.default_rng(2)
    crops = [photograph_crop(numbered, SIDE, rng).astype(np.int64) for _ in range(200)]
    native = sum(is_native(crop @ np.array([1, 256, 65536])) for crop in crops)
    assert 30 <= native <= 70


def is_native(numbers: np.ndarray) -> bool:
    along = np.diff(numbers, axis=1)
    return bool((np.abs(along) == 1).all() and (np.diff(numbers, axis=0) == 400).all())


def test_a_thumbnail_has_lost_its_fine_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_module, "RECOLORED_SHARE", 0.0)
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    rough = Photographs((noise,), (1.0,))
    rng = np.random.default_rng(4)
    for _ in range(10):
        image = thumbnail(rough, SIDE, rng).astype(float)
        assert (
            np.abs(np.diff(image, axis=1)).mean()
            < 0.6 * np.abs(np.diff(noise * 1.0, axis=1)).mean()
        )


def test_recoloring_neither_changes_the_original_nor_moves_anything() -> None:
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    image[5:12, 3:9] = (200, 120, 40)
    original = image.copy()
    changed = recolored(image, np.random.default_rng(5))
    np.testing.assert_array_equal(image, original)
    assert not np.array_equal(changed, image)
    inside = changed[5:12, 3:9].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) == 1
    assert len(np.unique(changed.reshape(-1, 3), axis=0)) == 2


def test_drawing_leaves_the_photographs_as_they_are(photographs: Photographs) -> None:
    before = [image.copy() for image in photographs.images]
    rng = np.random.default_rng(8)
    for painter in painters(photographs).values():
        painter(SIDE, rng)
    for image, kept in zip(photographs.images, before, strict=True):
        np.testing.assert_array_equal(image, kept)
