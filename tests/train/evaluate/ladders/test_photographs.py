"""The choice of photographs, their sizes, and their companions."""

from __future__ import annotations

import numpy as np
import pytest
from ladder_helpers import write_photographs

from dps_infer.errors import ImageError, UsageError
from dps_train.evaluate.ladders.photographs import load_photographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("ladders"), 5)


def test_as_many_are_drawn_as_are_asked_for(folder):
    names = [[p.name for p in load_photographs(str(folder), 3, seed=seed)] for seed in range(4)]
    assert all(len(set(some)) == 3 and some == sorted(some) for some in names)
    assert len(set(map(tuple, names))) > 1
    assert names[0] == [p.name for p in load_photographs(str(folder), 3)]
    assert len(load_photographs(str(folder), 99)) == 5


def test_another_picture_has_the_same_shape_and_another_content(folder):
    photographs = load_photographs(str(folder), 5)
    shapes = {photograph.pixels.shape for photograph in photographs}
    assert shapes == {(132, 150, 3), (150, 132, 3)}
    for photograph in photographs:
        assert photograph.other.shape == photograph.pixels.shape
        assert not np.array_equal(photograph.other, photograph.pixels)


@pytest.mark.parametrize("megapixels", [0.019, 0.15, 1])
def test_photographs_are_scaled_to_a_number_of_pixels(folder, megapixels):
    for photograph in load_photographs(str(folder), 2, megapixels=megapixels):
        height, width = photograph.pixels.shape[:2]
        assert height * width == pytest.approx(megapixels * 1e6, rel=0.02)
        assert max(height, width) / min(height, width) == pytest.approx(150 / 132, rel=0.02)


def test_photographs_that_cannot_be_used(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        load_photographs(str(tmp_path / "none"), 5)
    with pytest.raises(UsageError, match="holds no image"):
        load_photographs(str(tmp_path), 5)
    write_photographs(tmp_path, 1)
    with pytest.raises(UsageError, match="holds 1 image: ladders need at least 2"):
        load_photographs(str(tmp_path), 5)
    write_photographs(tmp_path, 2, height=100)
    with pytest.raises(UsageError, match="has 100 x 150 pixels: ladders need at least 128"):
        load_photographs(str(tmp_path), 5)
    assert len(load_photographs(str(tmp_path), 5, megapixels=0.05)) == 2
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"2\.png"):
        load_photographs(str(tmp_path), 5)
