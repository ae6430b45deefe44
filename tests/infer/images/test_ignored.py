"""What is left out of a comparison: boxes, masks, and content that depends on nothing inside."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import Picture, make_pair
from dps_infer.images.fill import fill, scaled
from dps_infer.images.ignored import Ignored

SIZE = (40, 30)


def picture(generator: np.random.Generator, size=SIZE, alpha: bool = False) -> Picture:
    shape = (size[1], size[0])
    opacity = generator.integers(0, 256, shape, np.uint8) if alpha else None
    return Picture("drawn", generator.integers(0, 256, (*shape, 3), np.uint8), opacity)


def left_out(box: str | tuple[int, ...], size=SIZE) -> tuple[int, int, int, int]:
    """The first and last columns and rows that a box leaves out."""
    rows, columns = np.nonzero(Ignored([box]).mask(size))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_boxes_in_pixels_and_percent():
    assert left_out("3,4,5,6") == left_out((3, 4, 5, 6)) == (3, 7, 4, 9)
    assert left_out(" 0, 90%, 100%, 10% ") == (0, 39, 27, 29)
    assert left_out("30,20,100,100") == (30, 39, 20, 29), "a box ends at the border"


def test_percent_leave_out_every_pixel_that_they_touch():
    assert left_out("10%,0,1%,1") == (4, 4, 0, 0)
    # From 3.96 to 4.08 pixels.
    assert left_out("9.9%,0,0.3%,1") == (3, 4, 0, 0)


@given(st.integers(1, 400), st.integers(0, 99))
def test_percentages_of_whole_pixels_are_exact(width, percent):
    left, right, _, _ = left_out(f"{percent}%,0,1%,1", (100 * width, 1))
    assert (left, right) == (percent * width, (percent + 1) * width - 1)


@pytest.mark.parametrize(
    "box",
    ["", "1,2,3", "1,2,3,4,5", "1.5,0,3,3", "-1,0,3,3", "a,0,3,3", "0,0,0,3", "0,0,3,0%"],
)
def test_boxes_that_mean_nothing_are_refused(box):
    with pytest.raises(UsageError, match="expected a box"):
        Ignored([box])


def test_a_box_outside_of_the_image_is_refused():
    with pytest.raises(ImageError, match=r"40,0,5,5 lies outside of an image of 40x30"):
        Ignored(["40,0,5,5"]).mask(SIZE)


def test_something_has_to_be_left():
    with pytest.raises(ImageError, match="nothing is left to compare"):
        Ignored(["0,0,100%,50%", "0,50%,100%,50%"]).mask(SIZE)


def test_white_counts_in_a_mask(tmp_path):
    gray = np.zeros((30, 40), np.uint8)
    gray[:, 10:], gray[0, 10] = 255, 127
    cv2.imwrite(str(tmp_path / "mask.png"), gray)
    expected = gray < 128
    assert (Ignored(mask=tmp_path / "mask.png").mask(SIZE) == expected).all()
    assert (Ignored(mask=~expected).mask(SIZE) == expected).all()
    both = Ignored(["20,0,5,5"], tmp_path / "mask.png").mask(SIZE)
    assert both.sum() == expected.sum() + 25


def test_masks_that_do_not_fit_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "clear.png"), np.zeros((30, 40, 4), np.uint8))
    with pytest.raises(ImageError, match="the mask has transparent pixels"):
        Ignored(mask=tmp_path / "clear.png")
    with pytest.raises(ImageError, match="the mask is 40x30, expected the size of the reference"):
        Ignored(mask=np.ones((30, 40), bool)).mask((41, 30))


def test_parts_add_up_and_travel_to_other_processes():
    one, other = Ignored(["0,0,5,5"]), Ignored(["10,10,5,5"], np.ones((30, 40), bool))
    both = one | other
    assert (both.mask(SIZE) == (one.mask(SIZE) | other.mask(SIZE))).all()
    copy = pickle.loads(pickle.dumps(both))
    assert (copy.mask(SIZE) == both.mask(SIZE)).all()
    assert copy.describe() == both.describe() != one.describe()
    assert both
    assert not Ignored()


masks = arrays(np.bool_, (30, 40), elements=st.booleans()).filter(lambda mask: not mask.all())


@settings(max_examples=40, deadline=None)
@given(mask=masks, seed=st.integers(0, 2**32), alpha=st.tuples(st.booleans(), st.booleans()))
def test_nothing_inside_changes_a_pair(mask, seed, alpha):
    generator = np.random.default_rng(seed)
    ignored = Ignored(mask=~mask)
    pictures = [picture(generator, alpha=own) for own in alpha]
    changed = []
    for one in pictures:
        color = one.color.copy()
        color[mask] = generator.integers(0, 256, (mask.sum(), 3))
        opacity = None if one.alpha is None else one.alpha.copy()
        if opacity is not None:
            opacity[mask] = generator.integers(0, 256, mask.sum())
        changed.append(Picture("drawn", color, opacity))
    first, second = (make_pair(*pair, ignored=ignored) for pair in (pictures, changed))
    assert first.notes == second.notes
    assert len(first.renderings) == len(second.renderings)
    for one, other in zip(first.renderings, second.renderings, strict=True):
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()
        assert (one[0][mask] == one[1][mask]).all(), "the same content adds no difference"


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(8, 90), st.integers(8, 90)), seed=st.integers(0, 2**32))
def test_nothing_inside_leaks_out_by_resizing(size, seed):
    generator = np.random.default_rng(seed)
    ignored = Ignored(["25%,25%,50%,50%"])
    reference, candidate = picture(generator), picture(generator, size)
    mask = scaled(ignored.mask(SIZE), size)
    color = candidate.color.copy()
    color[mask] = generator.integers(0, 256, (mask.sum(), 3))
    pairs = [
        make_pair(reference, one, resize=True, ignored=ignored)
        for one in (candidate, Picture("drawn", color))
    ]
    ((_, one),), ((_, other),) = (pair.renderings for pair in pairs)
    assert (one == other).all()


def test_alpha_inside_needs_no_second_background():
    generator = np.random.default_rng(0)
    one = picture(generator)
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:10] = 7
    other = Picture("drawn", one.color, alpha)
    assert len(make_pair(one, other).renderings) == 2
    pair = make_pair(one, other, ignored=Ignored(["0,0,40,10"]))
    assert len(pair.renderings) == 1
    assert pair.identical


def test_exchanged_images_get_the_same_content():
    generator = np.random.default_rng(0)
    one, other = picture(generator), picture(generator)
    ignored = Ignored(["5,5,10,10"])
    ((a, b),) = make_pair(one, other, ignored=ignored).renderings
    ((c, d),) = make_pair(other, one, ignored=ignored).renderings
    assert (a == d).all()
    assert (b == c).all()


def test_pictures_stay_as_they_are():
    generator = np.random.default_rng(0)
    one, other = picture(generator, alpha=True), picture(generator)
    kept = one.color.copy(), one.alpha.copy(), other.color.copy()
    make_pair(one, other, ignored=Ignored(["5,5,10,10"]))
    assert (one.color == kept[0]).all()
    assert (one.alpha == kept[1]).all()
    assert (other.color == kept[2]).all()


def test_what_is_left_out_continues_its_surroundings():
    rows, columns = np.mgrid[0:90, 0:120]
    image = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    filled, mask = image.copy(), Ignored(["40,30,30,30"]).mask((120, 90))
    filled[mask] = 0
    fill([filled], mask)
    # A gradient is continued within some levels; an edge of its own would be up to 140 high.
    assert np.abs(filled.astype(int) - image).max() < 20


@pytest.mark.parametrize("size", [(40, 30), (13, 77), (80, 60), (1, 1)])
def test_a_scaled_mask_has_every_pixel_that_it_touches(size):
    mask = np.random.default_rng(0).random((30, 40)) < 0.05
    found = scaled(mask, size)
    for y, x in zip(*np.nonzero(mask), strict=True):
        down = slice(y * size[1] // 30, -(-(y + 1) * size[1] // 30))
        across = slice(x * size[0] // 40, -(-(x + 1) * size[0] // 40))
        assert found[down, across].all()
