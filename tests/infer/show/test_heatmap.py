"""Heat maps: the right place, a fixed scale, and the size of the image."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import make_manifest, make_model, write

from dps_infer import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.errors import ContextError, OutputError, UsageError
from dps_infer.show.heatmap import MIDDLE, draw_map, local_values, paint, save_picture

SIDE = 200


@pytest.fixture(scope="module")
def blurred() -> tuple[np.ndarray, np.ndarray]:
    """Dead leaves, and a copy that is blurred in rows 120 to 180 and columns 20 to 80."""
    generator = np.random.default_rng(0)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for _ in range(3000):
        center, radius = generator.integers(0, SIDE, 2).tolist(), int(generator.integers(2, 16))
        cv2.circle(image, center, radius, generator.integers(0, 256, 3).tolist(), -1)
    other = image.copy()
    other[120:180, 20:80] = cv2.GaussianBlur(image, (0, 0), 4)[120:180, 20:80]
    return image, other


@pytest.fixture(scope="module")
def shipped() -> Metric:
    """The metric of the package."""
    ranking = "color,translate,zoom,rotate,darken,blur"
    return Metric.universal(ranking=ranking, device="cpu", threads=1)


@pytest.fixture(scope="module")
def even(tmp_path_factory) -> Metric:
    """A metric without cells, whose maps divide the image evenly."""
    path = tmp_path_factory.mktemp("even") / "even.onnx"
    return Metric.load(write(path, make_model(kinds=False)), device="cpu", threads=1)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory) -> Metric:
    """A metric whose cells have 64 pixels, and a place of its maps 8."""
    model = make_model(make_manifest(cell=64))
    path = tmp_path_factory.mktemp("coarse") / "coarse.onnx"
    return Metric.load(write(path, model), device="cpu", threads=1)


def comparison(values: np.ndarray, **changes: object) -> Comparison:
    result = Comparison(
        distance=float(values.mean()),
        amounts={},
        parts={},
        percentiles={},
        identical=False,
        notes=(),
        provider="",
        map=values.astype(np.float32),
    )
    return dataclasses.replace(result, **changes)


def test_the_bright_place_is_where_the_images_differ(shipped, blurred):
    image, other = blurred
    result = shipped.compare(image, other, with_map=True)
    values = local_values(result, shipped, (SIDE, SIDE))
    assert values.shape == (SIDE, SIDE)
    assert values.mean() == pytest.approx(result.distance, rel=1e-4)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert 115 <= row <= 185
    assert 15 <= column <= 85
    truth = np.zeros((SIDE, SIDE), bool)
    truth[120:180, 20:80] = True
    assert values[truth].mean() > 5 * values[~truth].mean()
    # What is beyond the edge by more than a few pixels is as good as nothing.
    near = np.zeros((SIDE, SIDE), bool)
    near[104:196, 4:96] = True
    assert values[near].sum() > 0.9 * values.sum()


def test_parts_show_their_own_differences_where_cells_lie(coarse):
    # 200 pixels take four cells, the last of which reaches beyond the image.
    cells = np.zeros((4, 4, 2), np.float32)
    cells[2, 1, 0] = 2
    result = comparison(np.zeros((32, 32)), cells=cells, amounts={"blur": 1.0, "zoom": 0.0})
    blur = local_values(result, coarse, (SIDE, SIDE), part="blur")
    row, column = np.unravel_index(blur.argmax(), blur.shape)
    assert (row, column) == (pytest.approx(159.5, abs=0.6), pytest.approx(95.5, abs=0.6))
    assert blur.max() > 1
    # Smooth, so that something reaches the neighbors, but not the cells beyond them.
    assert blur[:64].max() < 0.05
    assert blur[:, 192:].max() < 0.05
    assert not local_values(result, coarse, (SIDE, SIDE), part="zoom").any()


def test_places_of_a_map_are_an_eighth_of_a_cell(coarse):
    values = np.zeros((32, 32))
    values[10, 20] = 3
    found = local_values(comparison(values), coarse, (SIDE, SIDE))
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (row, column) == (pytest.approx(83.5, abs=0.6), pytest.approx(163.5, abs=0.6))


def test_the_mean_over_the_image_is_the_distance(coarse, even):
    # The last places lie beyond the image, and have nothing to show.
    values = np.zeros((32, 32))
    values[5:20, 3:9] = 2
    for metric in (coarse, even):
        found = local_values(comparison(values), metric, (SIDE, SIDE))
        assert found.mean() == pytest.approx(values.mean(), rel=1e-5)
    zero = comparison(np.zeros((32, 32)))
    assert not local_values(zero, coarse, (SIDE, SIDE)).any()


def test_a_change_of_one_kind_is_where_it_was_made(context):
    image = np.zeros((40, 48, 3), np.uint8)
    other = image.copy()
    other[16:24, 32:40, 1] = 255
    other[:, :8, 0] = 51
    result = context.compare(image, other, with_map=True)
    blur = local_values(result, context, (40, 48), part="blur")
    rotate = local_values(result, context, (40, 48), part="rotate")
    assert np.unravel_index(blur.argmax(), blur.shape)[0] in range(16, 24)
    assert np.unravel_index(blur.argmax(), blur.shape)[1] in range(32, 40)
    assert blur[:, :16].max() < 0.01
    assert rotate[:, :8].min() > 0.1
    assert rotate[:, 24:].max() < 0.001


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.floats(0, 10, width=32),
)
def test_equal_cells_stay_equal_at_any_size(even, cells, size, value):
    result = comparison(np.full(cells, value))
    values = local_values(result, even, size)
    assert values.shape == size
    assert np.allclose(values, value, rtol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300))
def test_images_of_any_size_are_covered(coarse, height, width):
    rows, columns = -(-height // 64), -(-width // 64)
    cells = np.ones((rows, columns, 1), np.float32)
    result = comparison(np.ones((8 * rows, 8 * columns)), cells=cells, amounts={"blur": 1.0})
    for part in (None, "blur"):
        values = local_values(result, coarse, (height, width), part=part)
        assert values.shape == (height, width)
        assert np.allclose(values, 1, rtol=1e-5)


def test_nothing_overshoots(even):
    spike = np.zeros((8, 8))
    spike[3, 4] = 5
    values = local_values(comparison(spike), even, (64, 64))
    assert values.min() >= 0
    # Apart from a factor that keeps the mean.
    assert values.max() <= 5 * 1.01
    assert np.unravel_index(values.argmax(), values.shape) in {
        (row, column) for row in (27, 28) for column in (35, 36)
    }


def test_the_scale_is_fixed_and_rises():
    steps = np.array([[0, 0.05, 0.2, MIDDLE, 1, 3, 50]], np.float32)
    colors = paint(steps)[0].astype(int)
    luma = colors @ (0.299, 0.587, 0.114)
    assert (np.diff(luma) > 0).all()
    # A value has the same color in every picture.
    assert paint(np.full((1, 1), MIDDLE, np.float32))[0, 0].tolist() == colors[3].tolist()
    middle = cv2.applyColorMap(np.array([[128]], np.uint8), cv2.COLORMAP_INFERNO)[0, 0, ::-1]
    assert colors[3].tolist() == middle.tolist()


def test_an_overlay_leaves_alone_what_does_not_differ():
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    local = np.zeros((8, 16), np.float32)
    local[:, 8:] = 5
    picture = paint(local, over=image)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert (picture[:, :8] == gray[:, :8, None]).all()
    assert (picture[:, 8:, 0].astype(int) > picture[:, 8:, 2]).all()


@pytest.mark.parametrize("width", [10, 600])
def test_a_legend_leaves_the_map_as_it_is(context, width):
    result = comparison(np.linspace(0, 5, 16).reshape(4, 4))
    image = np.zeros((20, width, 3), np.uint8)
    plain, labelled = (draw_map(result, context, image, legend=legend) for legend in (False, True))
    assert plain.shape == image.shape
    assert (labelled[:20, :width] == plain).all()
    assert labelled.shape[0] > 20
    assert labelled.shape[1] == max(width, 200)


def test_what_cannot_be_drawn_is_said(context):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="with_map=True"):
        draw_map(comparison(np.ones((2, 2)), map=None), context, image)
    with pytest.raises(UsageError, match="names no kinds of change"):
        draw_map(comparison(np.ones((2, 2))), context, image, part="blur")
    cells = np.ones((2, 2, 1), np.float32)
    result = comparison(np.ones((2, 2)), cells=cells, amounts={"blur": 1.0})
    with pytest.raises(UsageError, match=r"unknown part 'hue': expected one of blur"):
        draw_map(result, context, image, part="hue")
    for bad in (np.nan, np.inf, -1):
        with pytest.raises(ContextError, match="not a finite number"):
            draw_map(comparison(np.full((2, 2), bad)), context, image)


def test_pictures_are_written_whole_or_not_at_all(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    path = tmp_path / "new" / "a.png"
    save_picture(picture, path)
    assert (cv2.imread(str(path))[:, :, ::-1] == picture).all()
    with pytest.raises(OutputError, match="--force"):
        save_picture(picture, path)
    save_picture(picture[:4], path, force=True)
    assert cv2.imread(str(path)).shape == (4, 9, 3)
    with pytest.raises(OutputError, match="ends in"):
        save_picture(picture, tmp_path / "a.txt")
    with pytest.raises(OutputError, match="too large"):
        save_picture(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "wide.jpg")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.png"]


def test_the_image_is_not_changed(context):
    image = np.full((8, 8, 3), 7, np.uint8)
    values = np.ones((2, 2), np.float32)
    draw_map(comparison(values), context, image, overlay=True, legend=True)
    assert (image == 7).all()
    assert (values == 1).all()
