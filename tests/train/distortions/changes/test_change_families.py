"""Families of changed pictures: the labels fit the changes that were applied."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest

from dps_infer.contexts.ranking import OTHER
from dps_train.data.sources import photograph
from dps_train.distortions.changes.draw import Draw, Scene, between, random_draw
from dps_train.distortions.changes.elements import elements
from dps_train.distortions.changes.families import (
    IN_GRADED,
    MEMBERS,
    ON_PAGES,
    PARTS,
    Member,
    family,
    graded_family,
    page_family,
    part_family,
)
from dps_train.distortions.changes.kinds import CHANGES, DIRECTED, LOCAL
from dps_train.distortions.kinds import KIND_NAMES, KINDS
from dps_train.distortions.paper import NAMES

SIDE = 96
FAMILIES = 30
LUMA = np.array([0.299, 0.587, 0.114])


def scene(seed: int = 0) -> Scene:
    whole, other = (
        np.ascontiguousarray(photograph(name)[at : at + 128, at : at + 128])
        for name, at in (("chelsea", 60 + 5 * seed), ("coffee", 90))
    )
    return Scene(whole, SIDE, np.ascontiguousarray(other[16:112, 16:112]))


def drawn(share: float, sign: int = 1, mode: int = 0, seed: int = 3) -> Draw:
    normals = tuple(np.random.default_rng(seed).standard_normal(8).tolist())
    return Draw(share, sign, mode, normals, seed)


@pytest.fixture(scope="module", params=[True, False], ids=["paper", "own"])
def families(request) -> list[tuple[Scene, list[Member]]]:
    rng = np.random.default_rng(1)
    scenes = [scene(number % 4) for number in range(FAMILIES)]
    return [(one, family(one, rng, paper=request.param)) for one in scenes]


def members(families: list[tuple[Scene, list[Member]]]) -> list[tuple[Scene, Member]]:
    return [(one, member) for one, members in families for member in members]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


# --- families -------------------------------------------------------------------------


def test_members_are_pictures_with_labels(families, request):
    for _, several in families:
        assert len(several) in (MEMBERS, MEMBERS + PARTS)
        for member in several:
            assert member.pixels.shape == (SIDE, SIDE, 3)
            assert member.pixels.dtype == np.uint8
            assert set(np.unique(member.present)) <= {0.0, 1.0}
            assert member.present.sum() >= 1
            known = np.isfinite(member.strengths)
            assert (member.strengths[known] >= 0).all()
            # Only what was applied has a strength or a direction.
            assert (member.present[known] == 1).all()
            assert set(np.unique(member.directions)) <= {-1.0, 0.0, 1.0}
            directed = {KIND_NAMES[i] for i in np.flatnonzero(member.directions)}
            assert directed <= DIRECTED


def test_a_stronger_version_is_the_same_change_and_more_of_it(families):
    more = []
    for one, several in families:
        for member in several:
            if member.weaker < 0:
                continue
            weak = several[member.weaker]
            np.testing.assert_array_equal(member.present, weak.present)
            np.testing.assert_array_equal(member.directions, weak.directions)
            middle = one.middle()
            more.append(difference(member.pixels, middle) >= difference(weak.pixels, middle))
    assert len(more) == FAMILIES
    # A hue is turned back beyond half of a circle, and a shift may come upon a repetition.
    assert np.mean(more) >= 0.8


def test_a_combination_shows_both_of_its_changes(families):
    combined = 0
    for _, several in families:
        for member in several:
            if min(member.alone) < 0:
                continue
            one, other = (several[index] for index in member.alone)
            np.testing.assert_array_equal(member.present, np.maximum(one.present, other.present))
            assert one.present.sum() == other.present.sum() == 1
            combined += 1
    assert combined == FAMILIES


def test_another_picture_differs_in_every_way(families):
    others = [
        (one, member)
        for one, member in members(families)
        if member.present.sum() == len(KIND_NAMES)
    ]
    assert 0 < len(others) < FAMILIES
    for one, member in others:
        np.testing.assert_array_equal(member.pixels, one.other)
        assert np.isnan(member.strengths).all()


def test_changes_of_a_part_leave_the_rest_alone(families):
    local = [(one, member) for one, member in members(families) if member.part is not None]
    assert len(local) in (0, FAMILIES * PARTS)
    for one, member in local:
        assert member.present.sum() == 1
        assert KIND_NAMES[int(member.present.argmax())] in LOCAL
        assert 0 <= member.part.min() <= member.part.max() <= 1 + 1e-6
        outside = member.part < 1e-4
        assert outside.mean() > 0.3
        np.testing.assert_array_equal(member.pixels[outside], one.middle()[outside])


def page(seed: int = 0) -> Scene:
    """Two lines of text and a button on paper."""
    rng = np.random.default_rng(seed)
    whole = np.full((128, 128, 3), 250, np.uint8)
    for top in (40, 70):
        cv2.putText(whole, "lines", (20, top), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (20, 30, 40), 2)
    cv2.rectangle(whole, (30, 85), (80, 100), rng.integers(0, 200, 3).tolist(), -1)
    return Scene(whole, SIDE, np.ascontiguousarray(photograph("coffee")[:SIDE, :SIDE]))


def test_a_graded_family_is_one_change_that_grows():
    rng = np.random.default_rng(4)
    growing = []
    for number in range(12):
        one = scene(number % 4)
        several = graded_family(one, rng)
        assert [member.weaker for member in several] == list(range(-1, IN_GRADED - 1))
        for member in several:
            np.testing.assert_array_equal(member.present, several[0].present)
        assert several[0].present.sum() == 1
        found = [difference(member.pixels, one.middle()) for member in several]
        growing.append(np.mean(np.diff(found) >= 0))
    assert np.mean(growing) > 0.8


def test_elements_of_a_page_are_found():
    middle = page().middle()
    boxes = elements(middle, np.random.default_rng(0))
    ink = (middle != 250).any(axis=-1)
    covered = np.zeros_like(ink)
    for top, left, height, width in boxes:
        assert ink[top : top + height, left : left + width].any()
        covered[top : top + height, left : left + width] = True
    assert ink[covered].sum() > 0.9 * ink.sum()
    assert covered.mean() < 0.6


def test_a_family_of_a_page_has_other_elements_and_other_changes():
    rng = np.random.default_rng(5)
    content, translate, blur = map(KIND_NAMES.index, ("content", "translate", "blur"))
    differing = 0
    for number in range(20):
        one = page(number)
        several = page_family(one, rng)
        assert len(several) == ON_PAGES
        for member in several[:2]:
            assert np.flatnonzero(member.present).tolist() == [content]
            inside = (member.pixels != one.middle()).any(axis=-1)
            np.testing.assert_array_equal(member.part > 0, inside)
            differing += bool(inside.any())
            assert inside.mean() < 0.5
        scanned, *unchanged = several[2:5]
        assert scanned.present[content] == 1
        assert 2 <= scanned.present.sum() <= 5
        # It is not told where the element is.
        assert 0 < scanned.part.max() < 0.25
        for member in unchanged:
            assert member.present[content] == 0
            assert 1 <= member.present.sum() <= 4
            assert member.part is None
        rendered, *alike = several[5:8]
        assert rendered.present[content] == 1
        assert 0 < rendered.part.max() < 0.25
        for member in alike:
            assert member.present[[content, translate]].tolist() == [0, 1]
            assert member.directions[blur] == 0 or member.present[blur] == 1
            outside = member.part == 0
            np.testing.assert_array_equal(member.pixels[outside], one.middle()[outside])
        moved = several[8]
        assert np.flatnonzero(moved.present).tolist() == [translate]
        assert moved.part is None or 0.2 < moved.part.mean() < 1
    # A part may be replaced by one that looks the same.
    assert differing > 30


def test_every_kind_occurs():
    rng = np.random.default_rng(2)
    seen = np.zeros(len(KIND_NAMES))
    for number in range(40):
        for member in family(scene(number % 4), rng, paper=False):
            seen += member.present * (member.present.sum() < len(KIND_NAMES))
    assert (seen > 0).all(), dict(zip(KIND_NAMES, seen, strict=True))


def test_the_papers_families_are_mostly_the_papers_distortions():
    rng = np.random.default_rng(2)
    papers = [
        all(KIND_NAMES[i] in NAMES for i in np.flatnonzero(member.present))
        for number in range(30)
        for member in family(scene(number % 4), rng, paper=True)
    ]
    assert 0.6 < np.mean(papers) < 1


def test_families_follow_their_seed_and_leave_the_scene_alone():
    one = scene()
    before = one.pixels.copy(), one.other.copy()
    first, again, other = (
        family(one, np.random.default_rng(seed), paper=False) for seed in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_array_equal(a.strengths, b.strengths)
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))
    np.testing.assert_array_equal(one.pixels, before[0])
    np.testing.assert_array_equal(one.other, before[1])


# --- single changes -------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_shape_and_type_in_every_mode(name):
    one = scene()
    whole = one.pixels.copy()
    for mode, sign, share in itertools.product(range(14), (1, -1), (0.02, 1.0)):
        changed, strength = CHANGES[name](one.pixels, drawn(share, sign, mode), one)
        assert changed.shape == whole.shape
        assert changed.dtype == np.uint8
        assert math.isnan(strength) or strength > 0
        np.testing.assert_array_equal(one.pixels, whole)
        if share == 1:
            assert difference(changed, whole) > 0.1, (mode, sign)


def test_only_kinds_with_a_unit_have_strengths():
    one = scene()
    for kind in KINDS:
        found = [CHANGES[kind.name](one.pixels, drawn(0.5, 1, m), one)[1] for m in range(14)]
        assert any(np.isfinite(found)) == (kind.unit is not None), kind.name


def tone(name: str, sign: int, mode: int = 2) -> np.ndarray:
    changed, _ = CHANGES[name](scene().pixels, drawn(0.4, sign, mode), scene())
    return changed.astype(float)


def test_directions_are_those_of_the_names():
    before = scene().pixels.astype(float)

    def light(x: np.ndarray) -> float:
        return float(x.mean())

    def contrast(x: np.ndarray) -> float:
        return float((x @ LUMA).std())

    def saturation(x: np.ndarray) -> float:
        return float((x.max(axis=-1) - x.min(axis=-1)).mean())

    def detail(x: np.ndarray) -> float:
        return float(np.abs(np.diff(x @ LUMA, axis=0)).mean())

    for name, measured, way in (
        ("darken", light, -1), ("contrast", contrast, 1), ("saturation", saturation, 1),
        ("blur", detail, -1),
    ):  # fmt: skip
        for mode, sign in itertools.product(range(4), (1, -1)):
            change = measured(tone(name, sign, mode)) - measured(before)
            assert change * sign * way > 0, (name, mode, sign)


@pytest.mark.parametrize("sign", [1, -1])
def test_turns_have_their_degrees_and_are_clockwise(sign):
    one = scene()
    # Mode 2 turns by a few degrees; a single bright place tells by how much and which way.
    dark = Scene(np.zeros((129, 129, 3), np.uint8), SIDE, one.other)
    dark.pixels[64, 114] = dark.pixels[64, 113] = 255
    changed, degrees = CHANGES["rotate"](dark.pixels, drawn(0.8, sign, 2), dark)
    row, column = np.unravel_index(changed[..., 0].argmax(), (129, 129))
    # Rows grow downwards: what is on the right goes down when it is turned clockwise.
    assert math.degrees(math.atan2(row - 64, column - 64)) * sign == pytest.approx(degrees, abs=1.2)


def test_shifts_have_their_pixels():
    one = scene()
    for mode, share in ((0, 0.9), (1, 0.8)):
        changed, pixels = CHANGES["translate"](one.pixels, drawn(share, 1, mode), one)
        gray = [np.float32(part @ LUMA) for part in (one.pixels, changed)]
        found, _ = cv2.phaseCorrelate(*gray, cv2.createHanningWindow((128, 128), cv2.CV_32F))
        assert math.hypot(*found) == pytest.approx(pixels, abs=0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_scales_have_their_percent(sign):
    dark = Scene(np.zeros((129, 129, 3), np.uint8), SIDE, scene().other)
    dark.pixels[64, 104] = 255
    changed, percent = CHANGES["zoom"](dark.pixels, drawn(0.95, sign, 1), dark)
    place = changed[64, 64:, 0].argmax()
    assert 100 * abs(place / 40 - 1) == pytest.approx(percent, abs=2)
    assert (place > 40) == (sign > 0)


@pytest.mark.parametrize("mode", [0, 5])
def test_noise_has_its_sigma(mode):
    flat = Scene(np.full((128, 128, 3), 128, np.uint8), SIDE, scene().other)
    changed, sigma = CHANGES["noise"](flat.pixels, drawn(0.6, 1, mode), flat)
    assert (changed.astype(float) - 128).std() == pytest.approx(sigma, rel=0.03)


def test_compression_has_its_quality():
    one = scene()
    found = [CHANGES["compression"](one.pixels, drawn(share, 1, 0), one) for share in (0.1, 0.9)]
    (light, high), (heavy, low) = found
    assert 2 <= low < high <= 97
    assert difference(light, one.pixels) < difference(heavy, one.pixels)


def test_content_is_put_into_a_part():
    one = scene()
    for mode in range(10):
        changed, _ = CHANGES["content"](one.pixels, drawn(0.6, 1, mode), one)
        same = (changed == one.pixels).all(axis=-1).mean()
        assert 0.5 < same < 1, mode


# --- draws ----------------------------------------------------------------------------


def test_draws_are_valid_and_get_weaker():
    rng = np.random.default_rng(0)
    draws = [random_draw(rng) for _ in range(200)]
    shares = np.array([draw.share for draw in draws])
    assert 0 < shares.min() < 0.05
    assert 0.9 < shares.max() <= 1
    assert {draw.sign for draw in draws} == {1, -1}
    weak = draws[0].weaker(0.5).weaker(0.5)
    assert weak.share == pytest.approx(draws[0].share / 4)
    assert weak.factor == 0.25
    assert (weak.seed, weak.mode, weak.normals) == (
        draws[0].seed, draws[0].mode, draws[0].normals,
    )  # fmt: skip
    np.testing.assert_array_equal(weak.rng().random(3), draws[0].rng().random(3))


def test_between_is_even_in_logarithms():
    assert between(1, 100, 0.5) == pytest.approx(10)
    assert between(128, 2, 1) == pytest.approx(2)
    assert OTHER in CHANGES


# --- families of changed parts ----------------------------------------------------------


def test_two_changed_parts_are_both_there():
    rng, seen = np.random.default_rng(5), 0
    for number in range(FAMILIES):
        one, two, both = part_family(scene(number % 4), rng)
        assert both.alone == (0, 1)
        assert both.present.tolist() == (one.present + two.present).tolist()
        assert both.present.sum() == 2
        assert both.directions.tolist() == (one.directions + two.directions).tolist()
        whole = scene(number % 4).middle()
        only_first = (one.part > 0.5) & (two.part == 0)
        only_second = two.part == 1
        seen += bool(only_first.any())
        assert np.array_equal(both.pixels[only_first], one.pixels[only_first])
        assert np.array_equal(both.pixels[only_second], two.pixels[only_second])
        neither = (one.part == 0) & (two.part == 0)
        assert np.array_equal(both.pixels[neither], whole[neither])
    # A thin part may be hidden by the other one, or replaced by one that looks the same.
    assert seen > 0.9 * FAMILIES
