"""The changes: stronger at every step, sampled where they say, without a border, seeded."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from ladder_helpers import photograph

from dps_train.evaluate.ladders.changes import codecs, detail, geometry, tone
from dps_train.evaluate.ladders.kinds import GROSS, KINDS, MEDIUM, MILD, THIRD, Kind
from dps_train.evaluate.ladders.measuring import kinds_here
from dps_train.evaluate.ladders.photographs import Photograph

HERE, _ = kinds_here()
MOVED = [kind for kind in KINDS if kind.cropped]
RANDOM = ("noise", "patch", "rotate", "shift", "bend")

each_kind = pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
each_moved = pytest.mark.parametrize("kind", MOVED, ids=lambda kind: kind.name)


def reference(kind: Kind, picture: Photograph) -> np.ndarray:
    return geometry.middle(picture.pixels) if kind.cropped else picture.pixels


def test_the_ladders_are_those_that_were_asked_for():
    assert len(KINDS) >= 20
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(len(kind.steps) == 7 for kind in KINDS)
    assert MILD < THIRD < MEDIUM < 7
    names = {kind.name: kind for kind in KINDS}
    assert names["rotate"].steps[0] == 0.1
    assert names["enlarge"].steps[0] == 0.3
    assert names["shift"].steps[0] == pytest.approx(1 / 3)
    assert [gross.name for gross in GROSS] == ["mirror", "upside down", "another picture"]


def test_the_docs_list_every_ladder_with_its_steps():
    text = (Path(__file__).parents[4] / "docs" / "ladders.md").read_text("utf-8")
    for kind in KINDS:
        steps = ", ".join(f"{step:.3g}" for step in kind.steps)
        name = kind.named_as or ""
        name += ", opposite direction" * (kind.direction < 0)
        assert f"| {kind.name} | {kind.unit} | {steps} | {name}".rstrip() in text


@each_kind
def test_every_step_changes_more_than_the_one_before(kind):
    for seed in range(2):
        picture = photograph(seed=seed)
        before = picture.pixels.copy()
        first = reference(kind, picture).astype(float)
        changed = [kind.change(picture, step) for step in kind.steps]
        assert all(one.dtype == np.uint8 and one.shape == first.shape for one in changed)
        errors = [float(((one - first) ** 2).mean()) for one in changed]
        assert errors[0] > 0
        assert errors == sorted(set(errors))
        np.testing.assert_array_equal(picture.pixels, before)


@each_kind
def test_what_is_random_follows_from_the_seed_and_the_photograph(kind):
    def at(name: str, seed: int) -> bytes:
        base = photograph()
        picture = Photograph(name, base.pixels, base.other, seed)
        return b"".join(kind.change(picture, step).tobytes() for step in kind.steps[-3:])

    assert at("one", 3) == at("one", 3)
    # A turn has two ways only: of several seeds, one goes the other way.
    others = {at("one", seed) for seed in range(8)} | {at("two", 3)}
    assert (len(others) > 1) == (kind.name in RANDOM)


@each_moved
@pytest.mark.parametrize("shape", [(128, 128), (128, 500), (321, 481)])
def test_nothing_from_outside_the_photograph_comes_into_sight(kind, shape, monkeypatch):
    sample = geometry.F.grid_sample

    def black_outside(*arguments, padding_mode, **options):
        return sample(*arguments, padding_mode="zeros", **options)

    monkeypatch.setattr(geometry.F, "grid_sample", black_outside)
    flat = np.full((*shape, 3), 100, np.uint8)
    for seed in range(4):
        picture = Photograph("flat", flat, flat, seed)
        for step in kind.steps:
            assert (kind.change(picture, step) == 100).all()


@each_moved
def test_no_strength_is_no_change(kind):
    picture = photograph(141, 190)
    np.testing.assert_array_equal(kind.change(picture, 0), geometry.middle(picture.pixels))


PERIOD = 40


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A picture that is known between its pixels too: red waves across, green waves down."""
    planes = [128 + 100 * np.sin(2 * np.pi * along / PERIOD) for along in (x, y)]
    return np.stack([*planes, np.zeros_like(x)], axis=-1)


def from_the_middle(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    return x, y


@pytest.fixture(scope="module")
def wavy() -> Photograph:
    shape = (240, 301)
    height, width = geometry.crop(*shape)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    y -= (shape[0] - height) // 2 + (height - 1) / 2
    x -= (shape[1] - width) // 2 + (width - 1) / 2
    pixels = waves(x, y).round().astype(np.uint8)
    return Photograph("waves", pixels, pixels, 1)


def error(changed: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference in levels from the waves at positions."""
    return float(np.abs(changed - waves(x, y)).max())


WITHIN = 1.5
"""Levels. The waves are rounded twice, and cubic interpolation follows them nearly."""


def test_a_shift_is_as_long_as_it_says(wavy):
    for distance in (1 / 3, 1.5, 12, 24):
        changed = geometry.shift(wavy, distance)
        x, y = from_the_middle(changed)
        draw = wavy.uniform("shift", 1)[0] * 2 * math.pi
        assert error(changed, x + distance * math.cos(draw), y + distance * math.sin(draw)) < WITHIN


def test_a_turn_has_the_angle_that_it_says(wavy):
    for degrees in (0.1, 0.5, 2, 10):
        changed = geometry.rotate(wavy, degrees)
        x, y = from_the_middle(changed)
        turned = (
            error(changed, x * math.cos(a) - y * math.sin(a), x * math.sin(a) + y * math.cos(a))
            for a in (math.radians(degrees), -math.radians(degrees))
        )
        assert min(turned) < WITHIN


def test_an_enlargement_has_the_factor_that_it_says(wavy):
    for percent in (0.3, 5, 20):
        changed = geometry.enlarge(wavy, percent)
        x, y = from_the_middle(changed)
        assert error(changed, x / (1 + percent / 100), y / (1 + percent / 100)) < WITHIN


def test_a_bend_has_the_amplitude_that_it_says():
    rows, columns = np.mgrid[:240, :240].astype(float)
    ramps = np.stack([columns, rows, rows], axis=-1).astype(np.uint8)
    picture = Photograph("ramps", ramps, ramps, 1)
    moved = geometry.bend(picture, 12).astype(float) - geometry.middle(ramps)
    for channel in (0, 1):
        assert np.abs(moved[..., channel]).max() == pytest.approx(12, abs=1)
        assert moved[..., channel].std() == pytest.approx(12 / math.sqrt(2), rel=0.2)


def test_a_patch_covers_the_share_that_it_says_and_grows_in_place():
    picture = photograph(150, 190)
    negative = Photograph("patched", picture.pixels, 255 - picture.pixels, 5)
    covered = [
        (detail.patch(negative, percent) != negative.pixels).any(axis=-1) for percent in (1, 6, 30)
    ]
    assert [one.mean() for one in covered] == pytest.approx([0.01, 0.06, 0.3], rel=0.1)
    assert not (covered[0] & ~covered[1]).any()
    assert not (covered[1] & ~covered[2]).any()


def test_tones():
    gray = np.full((4, 4, 3), 100, np.uint8)
    picture = Photograph("gray", gray, gray, 0)
    assert (tone.darker(picture, 35) == 65).all()
    assert (tone.brighter(picture, 50) == 150).all()
    assert (tone.gamma(picture, 2) == round(100**2 / 255)).all()
    assert (tone.white_balance(picture, 25)[0, 0] == (125, 100, 80)).all()
    # Gray has no color to turn or to strengthen, and no contrast.
    for change in (tone.hue, tone.saturation, tone.contrast):
        np.testing.assert_array_equal(change(picture, 50), gray)
    colored = photograph()
    luma = colored.pixels @ tone.LUMA
    flat = tone.saturation(colored, -100)
    np.testing.assert_allclose(flat, np.repeat(luma[..., None], 3, axis=-1), atol=0.51)
    for levels in (64, 5, 2):
        assert len(np.unique(tone.posterize(colored, levels))) <= levels


def test_medians_of_sides_between_odd_ones_are_mixtures():
    picture = photograph()
    np.testing.assert_array_equal(detail.median(picture, 1), picture.pixels)
    first, second = (cv2.medianBlur(picture.pixels, side) for side in (3, 5))
    np.testing.assert_array_equal(detail.median(picture, 3), first)
    mixed = 0.75 * first + 0.25 * second
    np.testing.assert_allclose(detail.median(picture, 3.5), mixed, atol=0.5)


def test_noise_has_the_deviation_that_it_says():
    gray = np.full((200, 200, 3), 128, np.uint8)
    changed = detail.noise(Photograph("gray", gray, gray, 0), 8).astype(float)
    assert changed.std() == pytest.approx(8, rel=0.02)


def test_codecs_that_are_missing_are_left_out_with_a_reason(monkeypatch):
    monkeypatch.setattr(cv2, "haveImageWriter", lambda name: not name.endswith(".avif"))
    kinds, left_out = kinds_here()
    assert list(left_out) == ["avif"]
    assert "AVIF encoder" in left_out["avif"]
    assert len(kinds) == len(KINDS) - 1
    assert codecs.missing_encoder("jpeg") is None


def test_gross_changes():
    picture = photograph()
    pixels, other = picture.pixels, picture.other
    mirror, upside_down, another = (gross.change(pixels, other) for gross in GROSS)
    np.testing.assert_array_equal(mirror, np.fliplr(pixels))
    np.testing.assert_array_equal(upside_down, np.rot90(pixels, 2))
    assert another is other
