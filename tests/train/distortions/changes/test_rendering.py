"""Pages that are rendered anew: the letters stay, and only what is marked differs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dps_train.distortions.changes.draw import Scene
from dps_train.distortions.changes.elements import elements
from dps_train.distortions.changes.rendering import part_moved, rendered_anew

PAPER = 250
SIDE = 96
CHANGED = 24
"""Gray levels from which on a pixel differs visibly."""


def page(side: int = SIDE) -> np.ndarray:
    pixels = np.full((side, side, 3), PAPER, np.uint8)
    for baseline in range(20, side, 18):
        cv2.putText(
            pixels, "garden rivers", (4, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 30, 40), 1,
            cv2.LINE_AA,
        )  # fmt: skip
    return pixels


def sharpness(pixels: np.ndarray) -> float:
    return float(np.square(np.diff(pixels.astype(float), axis=0)).mean())


def test_only_letters_are_rendered_anew():
    before = page()
    for seed in range(20):
        after, part, _ = rendered_anew(before, np.random.default_rng(seed))
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        assert set(np.unique(part)) <= {0.0, 1.0}
        np.testing.assert_array_equal(after[part == 0], before[part == 0])
        assert not np.array_equal(after, before)


def test_the_letters_stay_where_they_are_but_for_a_pixel_or_two():
    before = page()
    near = cv2.erode(before, np.ones((5, 7), np.uint8))  # dark within two rows and three columns
    for seed in range(20):
        after, _, _ = rendered_anew(before, np.random.default_rng(seed))
        dark = after.min(axis=2) < PAPER / 2
        assert (near[dark].min(axis=-1) < PAPER / 2).mean() > 0.9
        ink = [(PAPER - pixels.astype(float)).mean() for pixels in (before, after)]
        assert 0.6 < ink[1] / ink[0] < 1.6


def test_softer_letters_are_softer_and_sharper_ones_sharper():
    before = page()
    found: dict[int, list[float]] = {-1: [], 0: [], 1: []}
    for seed in range(60):
        after, _, softness = rendered_anew(before, np.random.default_rng(seed))
        found[softness].append(sharpness(after))
    softer, alike, sharper = (np.mean(found[sign]) for sign in (1, 0, -1))
    assert softer < alike < sharper


def test_a_page_without_elements_is_rendered_anew_as_a_whole():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert not elements(noise, np.random.default_rng(1))
    _, part, _ = rendered_anew(noise, np.random.default_rng(1))
    assert part.min() == 1


def scene() -> Scene:
    whole = page(128)
    return Scene(whole, SIDE, whole[:SIDE, :SIDE])


@pytest.mark.parametrize("seed", range(12))
def test_only_the_part_that_moved_differs(seed):
    after, part = part_moved(scene(), np.random.default_rng(seed))
    np.testing.assert_array_equal(after[part == 0], scene().middle()[part == 0])
    rows, columns = np.nonzero(part)
    # It begins at a line, and reaches the lower right corner.
    assert part[rows.min() :, columns.min() :].all()
    assert part.sum() == (SIDE - rows.min()) * (SIDE - columns.min())
    assert rows.min() < SIDE / 2
    assert columns.min() < SIDE / 2


def test_parts_move_by_a_fraction_of_a_pixel_and_by_several():
    before = scene().middle()
    moved, changed = 0, []
    for seed in range(40):
        after, _ = part_moved(scene(), np.random.default_rng(seed))
        apart = np.abs(after.astype(int) - before).max(axis=2)
        changed.append((apart > CHANGED).mean())
        moved += bool(apart.any())
    assert moved > 38
    assert min(changed) < 0.02 < 0.1 < max(changed)
