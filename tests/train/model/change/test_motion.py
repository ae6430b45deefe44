"""The estimated motion: exact for equal images, antisymmetric, and close to the true one."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dps_train.data.sources import photograph
from dps_train.model.change.change_features import displacements
from dps_train.model.change.change_metric import turn_and_scale
from dps_train.model.change.half_planes import (
    Extent,
    Halving,
    extent_of,
    shrink_across,
    shrink_down,
)
from dps_train.model.change.motion import SIDE, Motion, MotionEstimate

MARGIN = 40


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(photograph("chelsea")[:300, :450])


def estimate(first: np.ndarray, second: np.ndarray) -> tuple[Motion, Extent]:
    images = [torch.from_numpy(np.ascontiguousarray(part))[None] for part in (first, second)]
    extent, motion = extent_of(images[0]), MotionEstimate()

    def pyramid(image: Tensor) -> list[Tensor]:
        rows = shrink_across(Halving()(image).means[:, :1], SIDE, extent)
        return motion.pyramid(shrink_down(rows, SIDE, extent))

    return motion(*(pyramid(image) for image in images)), extent


def inner(picture: np.ndarray) -> np.ndarray:
    return picture[MARGIN:-MARGIN, MARGIN:-MARGIN]


def moved(picture: np.ndarray, matrix: list[list[float]], shift: tuple[float, float]) -> np.ndarray:
    """Take each pixel from `matrix` times its place plus `shift`, both from the middle."""
    height, width = picture.shape[:2]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    linear = np.array(matrix)
    offset = center + np.array(shift) - linear @ center
    inverse = np.column_stack([linear, offset])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return inner(cv2.warpAffine(picture, inverse, (width, height), flags=flags))


def test_equal_images_do_not_move(picture):
    motion, _ = estimate(picture, picture)
    for part in (motion.matrix, motion.shift, motion.local, motion.before, motion.after):
        assert torch.count_nonzero(part) == 0


def test_exchanged_images_move_back_exactly(picture):
    changed = moved(picture, [[1.01, 0.02], [-0.02, 1.01]], (3, -2))
    there, _ = estimate(inner(picture), changed)
    back, _ = estimate(changed, inner(picture))
    torch.testing.assert_close(back.matrix, -there.matrix, rtol=0, atol=0)
    torch.testing.assert_close(back.shift, -there.shift, rtol=0, atol=0)
    torch.testing.assert_close(back.local, -there.local, rtol=0, atol=0)
    torch.testing.assert_close(back.after, there.after, rtol=0, atol=0)


@pytest.mark.parametrize("pixels", [1.0, 5.0, 20.0])
def test_a_shift_is_measured_in_pixels(picture, pixels):
    changed = moved(picture, [[1, 0], [0, 1]], (0.6 * pixels, 0.8 * pixels))
    motion, extent = estimate(inner(picture), changed)
    assert float(displacements(motion, extent)[0, 1]) == pytest.approx(pixels, rel=0.15)
    assert motion.after < 0.1 * motion.before


@pytest.mark.parametrize("degrees", [0.25, 1.0, 5.0, -2.0])
def test_a_turn_is_measured_in_degrees(picture, degrees):
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    changed = moved(picture, [[cosine, sine], [-sine, cosine]], (0, 0))
    motion, extent = estimate(inner(picture), changed)
    turn, scale = turn_and_scale(motion, extent)
    assert math.degrees(float(turn)) == pytest.approx(degrees, rel=0.15)
    assert abs(float(scale)) < 1e-3


@pytest.mark.parametrize("percent", [0.5, 3.0, 10.0])
def test_an_enlargement_is_measured(picture, percent):
    factor = 1 + percent / 100
    changed = moved(picture, [[1 / factor, 0], [0, 1 / factor]], (0, 0))
    motion, extent = estimate(inner(picture), changed)
    turn, scale = turn_and_scale(motion, extent)
    measured = 100 * ((1 + float(scale) / 2) / (1 - float(scale) / 2) - 1)
    assert measured == pytest.approx(percent, rel=0.15)
    assert abs(math.degrees(float(turn))) < 0.05


def test_noise_and_light_do_not_move(picture):
    rng = np.random.default_rng(0)
    noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    dark = (picture * 0.5).astype(np.uint8)
    for changed in (noisy, dark):
        motion, extent = estimate(picture, changed)
        assert float(displacements(motion, extent)[0, :4].max()) < 0.1
