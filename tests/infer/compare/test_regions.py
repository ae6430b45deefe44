"""The places in which two images differ: boxes, their distances, and gates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dps_infer import Gate, Metric
from dps_infer.compare.regions.boxes import (
    MOST_BOXES,
    Box,
    difference,
    find_boxes,
    merge,
    outstanding,
    window,
)
from dps_infer.images.decode import Pair

PHOTOGRAPHS = Path(__file__).parents[4] / "shared" / "images" / "bsds500" / "val"
BLUR, HUE, REMOVED, MOVED = KINDS = ("blur", "hue", "removed", "moved")


def overlap(one, other) -> float:
    """Intersection over union of two boxes."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(across, 0) * max(down, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def changed(image: np.ndarray, kind: str, generator: np.random.Generator, share: float = 0.01):
    """Change a place of an image; return both images and the place."""
    height, width = image.shape[:2]
    shape = generator.uniform(0.6, 1.6)
    across, down = (round((share * height * width * s) ** 0.5) for s in (shape, 1 / shape))
    x, y = int(generator.integers(0, width - across)), int(generator.integers(0, height - down))
    place = np.s_[y : y + down, x : x + across]
    first, second = image.copy(), image.copy()
    if kind == BLUR:
        second[place] = cv2.GaussianBlur(image, (0, 0), 6)[place]
    elif kind == HUE:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] += 64
        second[place] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)[place]
    else:
        size = (across, down) if kind == REMOVED else (round(0.6 * across), round(0.6 * down))
        draw_object(first, x, y, *size, generator)
        if kind == MOVED:
            generator = np.random.default_rng(0)
            first[place] = image[place]
            draw_object(first, x, y, *size, generator)
            generator = np.random.default_rng(0)
            draw_object(second, x + across - size[0], y + down - size[1], *size, generator)
    return first, second, (x, y, across, down)


def draw_object(image, x, y, width, height, generator) -> None:
    """Draw an ellipse with a texture of its own."""
    texture = generator.integers(0, 256, (5, 5, 3), np.uint8)
    texture = cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((height, width), np.uint8)
    half = (width // 2, height // 2)
    cv2.ellipse(mask, half, (half[0] - 1, half[1] - 1), 0, 0, 360, 255, cv2.FILLED)
    image[y : y + height, x : x + width][mask > 0] = texture[mask > 0]


def drawn(generator: np.random.Generator, height: int = 600, width: int = 800) -> np.ndarray:
    """Draw a scene with detail at several scales."""
    image = np.zeros((height, width, 3), np.float32)
    for side in (4, 16, 64, 200):
        noise = generator.normal(0, 1, (height // side + 2, width // side + 2, 3))
        image += cv2.resize(noise.astype(np.float32), (width, height)) * 14 * side**0.25
    return np.clip(image + 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_boxes_lie_on_what_changed(kind, seed):
    generator = np.random.default_rng(seed)
    first, second, place = changed(drawn(generator), kind, generator)
    boxes = find_boxes(difference([(first, second)]))
    assert max(overlap(place, box) for box in boxes) >= 0.7


def test_every_pixel_that_differs_is_in_a_box():
    differs = np.random.default_rng(0).random((300, 400)) < 0.004
    boxes = find_boxes(differs)
    assert 1 <= len(boxes) <= MOST_BOXES
    covered = np.zeros_like(differs)
    for box in boxes:
        covered[box.slices()] = True
    assert covered[differs].all()


def test_boxes_are_tight_and_apart():
    differs = np.zeros((300, 400), bool)
    differs[10:30, 20:60] = differs[200:220, 300:390] = True
    assert find_boxes(differs) == [Box(20, 10, 40, 20), Box(300, 200, 90, 20)]
    assert find_boxes(np.zeros((300, 400), bool)) == []


def test_boxes_that_nearly_touch_are_merged():
    assert merge([Box(0, 0, 20, 20), Box(25, 0, 20, 20)]) == [Box(0, 0, 45, 20)]
    assert len(merge([Box(0, 0, 20, 20), Box(40, 0, 20, 20)])) == 2
    # The one between joins both others.
    assert merge([Box(0, 0, 20, 20), Box(50, 0, 20, 20), Box(22, 0, 26, 20)]) == [Box(0, 0, 70, 20)]


def test_windows_stay_inside():
    assert window(Box(0, 5, 10, 10), (100, 200), margin=8, smallest=64) == Box(0, 0, 64, 64)
    assert window(Box(190, 90, 10, 10), (100, 200), margin=8, smallest=64) == Box(136, 36, 64, 64)
    assert window(Box(50, 50, 90, 4), (60, 200), margin=8, smallest=64) == Box(42, 0, 106, 60)


def test_a_place_stands_out_from_a_difference_everywhere():
    local = np.random.default_rng(0).uniform(0.5, 1.5, (40, 50)).astype(np.float32)
    whole = Box(0, 0, 400, 320)
    assert outstanding(local, whole, (320, 400)) == []
    local[10:15, 20:30] = 20
    assert outstanding(local, whole, (320, 400)) == [Box(160, 80, 80, 40)]


def test_a_region_is_as_far_as_an_image_of_it(context):
    first = np.full((512, 512, 3), 100, np.uint8)
    second = first.copy()
    second[100:200, 300:420, 1] = 160
    found = context.compare(first, second, with_regions=True)
    (region,) = found.regions
    assert (region.x, region.y, region.width, region.height) == (300, 100, 120, 100)
    assert region.share == 120 * 100 / 512**2
    assert region.kind == "blur"
    cut = np.s_[92:208, 292:428]
    assert region.distance == context.compare(first[cut], second[cut]).distance
    assert region.distance > 15 * found.distance
    assert context.compare(first, second).regions is None
    assert context.compare(first, first, with_regions=True).regions == ()


def test_regions_are_sorted_and_measured_in_each_context(universal):
    first = np.full((512, 512, 3), 100, np.uint8)
    second = first.copy()
    second[:100, :100, 0], second[300:400, 300:400, 1] = 140, 140
    for ranking, kinds in (
        ("blur,rotate", ["rotate", "blur"]),
        ("rotate,blur", ["blur", "rotate"]),
    ):
        metric = universal.in_context(ranking=ranking)
        found = metric.compare(first, second, with_regions=True)
        assert [region.kind for region in found.regions] == kinds
        assert found.map is None


def test_the_gate_decides_what_a_threshold_applies_to(context):
    first = np.full((512, 512, 3), 100, np.uint8)
    second = first.copy()
    second[100:164, 100:164] = 200
    pair = Pair(((first, second),), ())
    (whole,) = context.compare_pairs([pair], regions=Gate.whole)
    (worst,) = context.compare_pairs([pair], regions=Gate.worst)
    assert whole.gated == whole.distance == worst.distance
    assert worst.gated == worst.regions[0].distance > 10 * worst.distance


def test_alpha_that_differs_is_measured_over_both_backgrounds(context, tmp_path):
    clear = np.full((200, 200, 4), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), clear)
    clear[50:100, 50:100, 3] = 0
    cv2.imwrite(str(tmp_path / "b.png"), clear)
    found = context.compare(tmp_path / "a.png", tmp_path / "b.png", with_regions=True)
    (region,) = found.regions
    assert (region.x, region.y, region.width, region.height) == (50, 50, 50, 50)
    assert region.distance > found.distance > 0


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="needs photographs that are not part of this")
def test_boxes_on_photographs():
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[:40]
    hits = 0
    for number, file in enumerate(files):
        generator = np.random.default_rng(number)
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        scale = (2e6 / (image.shape[0] * image.shape[1])) ** 0.5
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        first, second, place = changed(image, KINDS[number % 4], generator)
        boxes = find_boxes(difference([(first, second)]))
        hits += max((overlap(place, box) for box in boxes), default=0) >= 0.5
    assert hits >= 36


def test_a_small_defect_cannot_hide_in_a_large_image():
    """With the embedded metric: it passes as a whole, and fails by its worst region."""
    metric = Metric.named("general", device="cpu", threads=1)
    generator = np.random.default_rng(1)
    first, second, place = changed(drawn(generator, 640, 960), BLUR, generator)
    found = metric.compare(first, second, with_regions=True)
    assert found.distance < 0.1 < found.regions[0].distance
    region = found.regions[0]
    assert overlap(place, (region.x, region.y, region.width, region.height)) > 0.7
    assert region.kind == "blur"


def test_leaving_parts_out_does_not_dilute_the_rest():
    metric = Metric.named("general", device="cpu", threads=1)
    first = drawn(np.random.default_rng(2), 256, 320)
    second = cv2.GaussianBlur(first, (0, 0), 2)
    whole = metric.compare(first, second).distance
    half = metric.compare(first, second, ignore=["0,0,100%,50%"]).distance
    # The other half is about as blurred as the whole; dilution would leave half of the distance.
    assert half == pytest.approx(whole, rel=0.2)
