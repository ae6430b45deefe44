"""Universal files: any context at run time, and the file in the package."""

from __future__ import annotations

import cv2
import numpy as np
import onnx.numpy_helper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from infer_helpers import AMOUNTS, CHANNEL_OF, KINDS, encode, make_manifest, make_model, write

from dps_infer import Metric
from dps_infer.contexts import ranking as contexts
from dps_infer.contexts.folders import find
from dps_infer.contexts.ranking import ranking_importances
from dps_infer.errors import ContextError, RankingError, UsageError
from dps_infer.model import embedded
from dps_infer.model.calibration import calibrate, percentiles
from dps_infer.model.contract import check_ports
from dps_infer.runtime.engine import Port

# A float32 sum over some hundred pixels, in any order.
CLOSE = {"rel": 1e-5, "abs": 1e-7}
# A network in float32, with its inputs in another order.
SYMMETRIC = {"rel": 1e-3, "abs": 1e-6}
# The manifest states amounts with a few digits; the rest is float32.
ROUNDED, ROUNDING = 1e-3, 1e-5


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 13)), draw(st.integers(1, 13)), 3)
    return draw(arrays.arrays(np.uint8, shape)), draw(arrays.arrays(np.uint8, shape))


importances = st.dictionaries(st.sampled_from(AMOUNTS), st.floats(1e-3, 1e3), min_size=1)


def expected_amounts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Amounts [A], by the fake metric's definition."""
    difference = np.abs(first.astype(float) - second).mean(axis=(0, 1)) / 255
    found = np.zeros(len(AMOUNTS))
    for name, channel in CHANNEL_OF.items():
        found[AMOUNTS.index(name)] = difference[channel]
    found[-1] = difference.mean()
    return found


# --- contexts at run time -------------------------------------------------------------


@given(pairs(), importances)
def test_importances_multiply_amounts_and_parts_add_up(universal, pair, given_ones):
    context = universal.in_context(importances=given_ones)
    # The size is among the importances only where it counts.
    columns = AMOUNTS if "size" in given_ones else KINDS
    assert context.importances == {name: given_ones.get(name, 0) for name in columns}
    assert context.ranking is None
    result = context.compare(*pair)
    expected = expected_amounts(*pair)
    assert list(result.amounts) == KINDS
    assert list(result.amounts.values()) == pytest.approx(expected[:-1].tolist(), **CLOSE)
    assert result.size == pytest.approx(expected[-1], **CLOSE)
    distance = sum(
        given_ones.get(name, 0) * value for name, value in zip(AMOUNTS, expected, strict=True)
    )
    assert result.distance == pytest.approx(distance, rel=1e-5, abs=1e-5)
    assert list(result.parts) == KINDS
    assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-5)
    assert all(part >= 0 for part in result.parts.values())
    assert context.compare(pair[1], pair[0]).distance == pytest.approx(result.distance, rel=1e-5)
    assert context.compare(pair[0], pair[0]).distance == 0


@given(pairs(), importances)
def test_doubling_every_importance_doubles_every_distance(universal, pair, given_ones):
    doubled = {name: 2 * value for name, value in given_ones.items()}
    once = universal.in_context(importances=given_ones).compare(*pair)
    twice = universal.in_context(importances=doubled).compare(*pair)
    # Doubling is exact in binary; only the sum of products is rounded.
    assert twice.distance == pytest.approx(2 * once.distance, rel=1e-6)
    assert (twice.amounts, twice.size) == (once.amounts, once.size)
    assert (twice.strengths, twice.directions) == (once.strengths, once.directions)
    # The distances of the draws and of the ladders are doubled as well.
    assert twice.percentiles == pytest.approx(once.percentiles, abs=1e-5)
    assert [one.beyond for one in twice.anchors] == [one.beyond for one in once.anchors]
    assert [one.value for one in twice.anchors] == pytest.approx(
        [one.value for one in once.anchors], rel=1e-4
    )


def test_a_batch_is_its_pairs_whatever_the_runs(universal, photo, monkeypatch):
    pair = np.stack([photo, photo[::-1], photo[:, ::-1]]), np.stack([255 - photo] * 3)
    whole = universal.compare_batch(*pair, with_map=True)
    monkeypatch.setattr("dps_infer.compare.pairs.PIXELS_PER_RUN", 1)
    alone = universal.compare_batch(*pair, with_map=True)
    for one, other in zip(alone, whole, strict=True):
        assert one.distance == pytest.approx(other.distance, **CLOSE)
        np.testing.assert_allclose(one.map, other.map, rtol=1e-5)
        np.testing.assert_allclose(one.cells, other.cells, rtol=1e-5)
    shared = universal.compare_batch(photo, list(pair[1]))
    assert shared[0].distance == pytest.approx(
        universal.compare(photo, pair[1][0]).distance, **CLOSE
    )


def test_map_and_cells_are_of_the_rendering_that_counts(universal):
    white = np.full((8, 8, 3), 255, np.uint8)
    alpha = np.zeros((8, 8), np.uint8)
    # Over white both are white; over black they differ as much as images can.
    result = universal.compare(white, encode(".png", np.dstack([white, alpha])), with_map=True)
    assert result.cells[..., KINDS.index("blur")].tolist() == [[1]]
    assert result.map.mean() == pytest.approx(result.distance, **CLOSE)


def test_another_context_shares_the_engine(universal, photo):
    other = universal.in_context(ranking="blur,color")
    assert other.runner._engine is universal.runner._engine
    assert other.ranking == (("blur",), ("color",))
    assert other.importances == ranking_importances(other.ranking, KINDS[:-1])
    assert universal.ranking == (("color",), ("rotate",), ("blur",))
    pair = photo, 255 - photo
    assert other.compare(*pair).distance != universal.compare(*pair).distance
    assert other.in_context(ranking="color,rotate,blur").compare(*pair) == universal.compare(*pair)


def test_percentiles_are_those_of_the_context(universal, photo):
    draws = universal.manifest.draws
    for ranking in ("color,rotate,blur", "blur,color"):
        context = universal.in_context(ranking=ranking)
        result = context.compare(photo, 255 - photo)
        expected = percentiles(result.distance, calibrate(draws, AMOUNTS, context.importances))
        assert result.percentiles == expected


def test_the_calibration_is_computed_once(universal, photo, monkeypatch):
    context = universal.in_context(ranking="blur,color")
    calls = []
    monkeypatch.setattr(
        "dps_infer.compare.metric.calibrate",
        lambda *given: calls.append(given) or calibrate(*given),
    )
    assert calls == []
    context.compare(photo, 255 - photo)
    context.compare(photo, 255 - photo)
    assert len(calls) == 1


def test_ways_to_give_a_context(universal_path, photo):
    importances = {"color": 0.1, "blur": 5}
    results = [
        Metric.load(universal_path, importances=given).compare(photo, 255 - photo)
        for given in (importances, "color=0.1,blur=5", "3=0.1,4=5")
    ]
    assert results[0] == results[1] == results[2]


def test_a_universal_file_needs_a_context_and_a_plain_one_takes_none(
    universal_path, context_path, context
):
    with pytest.raises(UsageError, match=r"needs a context: give a ranking"):
        Metric.load(universal_path)
    with pytest.raises(UsageError, match="got 2: give one"):
        Metric.load(universal_path, ranking="color,blur", importances={"blur": 1})
    for options in ({"ranking": "color,blur"}, {"importances": {"blur": 1}}):
        with pytest.raises(UsageError, match=r"frozen in \(color < rotate < blur"):
            Metric.load(context_path, **options)
    with pytest.raises(UsageError, match="frozen in"):
        context.in_context(ranking="color,blur")
    with pytest.raises(UsageError, match="frozen in"):
        context.in_context(importances={"blur": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": 1}, "unknown distortion 'colour'"),
        ({"Color": 1}, "unknown distortion 'Color'"),
        ({"blur": -1}, "importance of blur is '-1'"),
        ({"blur": float("nan")}, "importance of blur is 'nan'"),
        ({"blur": 1e30}, "importance of blur"),
        ({"blur": None}, "importance of blur is 'None'"),
        ({"blur": 10**400}, "importance of blur"),
        ({"blur": 0}, "every importance is 0"),
        ({}, "every importance is 0"),
    ],
)
def test_bad_importances(universal, given, message):
    with pytest.raises(RankingError, match=message):
        universal.in_context(importances=given)


# --- the graph's ports ----------------------------------------------------------------


def refusal(path, expected: str, ranking: str | None = None) -> None:
    with pytest.raises(ContextError) as refused:
        Metric.load(path, ranking=ranking)
    assert str(refused.value).startswith(f"{path}: ")
    assert expected in str(refused.value)


def test_graph_and_manifest_must_agree(tmp_path):
    path = tmp_path / "a.onnx"
    plain, universal = make_manifest(), make_manifest(universal=True)
    write(path, make_model(plain, universal=True))
    refusal(path, "inputs reference, distorted, importance, expected reference and distorted")
    write(path, make_model(universal, universal=False))
    refusal(path, "expected reference and distorted and importance", "color,blur")


@pytest.mark.parametrize(
    "port",
    [
        Port("importance", "double", (9,)),
        Port("importance", "float", (8,)),
        Port("importance", "float", (1, 9)),
        Port("importance", "float", ()),
    ],
    ids=str,
)
def test_wrong_inputs_for_importances(universal, port):
    engine = universal.runner._engine
    inputs = {**engine.inputs, "importance": port}
    with pytest.raises(ContextError, match="one for each amount"):
        check_ports(inputs, engine.outputs, universal.manifest)


def test_amounts_that_do_not_add_up_are_refused(tmp_path, photo, monkeypatch):
    path = write(tmp_path / "a.onnx", make_model(universal=True, offsets={"distance": 0.5}))
    with pytest.raises(ContextError, match="do not add up"):
        Metric.load(path, importances={"blur": 1})
    # Not only in the first run, on small images: later ones are checked too.
    monkeypatch.setattr("dps_infer.compare.probe.check_by_running", lambda *_: None)
    context = Metric.load(path, importances={"blur": 1})
    with pytest.raises(ContextError, match="do not add up"):
        context.compare(photo, 255 - photo)


# --- the file in the package ----------------------------------------------------------


@pytest.fixture
def packaged(universal_path, monkeypatch):
    monkeypatch.setattr("dps_infer.model.embedded.UNIVERSAL", universal_path)


def test_the_packages_own_file_in_any_context(packaged, universal, photo):
    pair = photo, 255 - photo
    ranked = Metric.universal(ranking="color,rotate,blur", device="cpu", threads=1)
    assert ranked.compare(*pair) == universal.compare(*pair)
    assert ranked.threads == 1
    weighed = Metric.universal(importances={"blur": 2.0})
    assert weighed.compare(*pair) == universal.in_context(importances={"blur": 2.0}).compare(*pair)
    for options in ({}, {"ranking": "color,blur", "importances": "blur=1"}):
        with pytest.raises(UsageError):
            Metric.universal(**options)


needs_embedded = pytest.mark.skipif(
    not embedded.UNIVERSAL.exists(), reason="the package holds no universal file yet"
)
SLOW = settings(max_examples=15, deadline=None)
"""A run of the embedded file takes a while."""


@pytest.fixture(scope="module")
def shipped() -> Metric:
    return Metric.universal(importances={"size": 1}, device="cpu", threads=1)


@pytest.fixture(scope="module")
def scale(shipped) -> dict[str, float]:
    """The amount of each kind that is fully there, in an image pair of size 1: in the graph."""
    graph = onnx.load(embedded.UNIVERSAL).graph
    (found,) = (
        onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.name.endswith("head.scale")
    )
    return dict(zip(shipped.manifest.metric.amounts[:-1], found.tolist(), strict=True))


@st.composite
def changed_images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """An image of smooth random shapes or of noise, and a copy that is changed somehow."""
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = generator.integers(0, 256, (2 + height // 9, 2 + width // 9, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = generator.integers(0, 256, smooth.shape, dtype=np.uint8)
    image = draw(st.sampled_from([smooth, noise]))
    changed = draw(
        st.sampled_from(
            [
                noise,
                255 - image,
                image // 2,
                image[::-1],
                np.roll(image, 3, axis=1),
                cv2.GaussianBlur(image, (0, 0), 1.5),
                np.clip(image + generator.normal(0, 12, image.shape), 0, 255).astype(np.uint8),
                np.where(np.arange(width)[:, None] < width // 3, noise, image),
                image,
            ]
        )
    )
    return image, np.ascontiguousarray(changed)


counting = st.floats(1e-2, 1e2)
counted = st.fixed_dictionaries(
    {}, optional={name: counting for name in (*contexts.KINDS, "other", "size")}
).filter(bool)


@needs_embedded
def test_the_embedded_file_is_small_and_names_the_kinds(shipped):
    assert embedded.UNIVERSAL.stat().st_size < 2_000_000
    metric = shipped.manifest.metric
    assert metric.amounts == [*contexts.KINDS, "other", "size"]
    assert set(shipped.manifest.draws.amounts) >= set(contexts.PAPER_DISTORTIONS)
    assert shipped.manifest.ladders


@needs_embedded
@SLOW
@given(changed_images())
def test_the_size_of_the_embedded_file_is_a_distance(shipped, pair):
    result = shipped.compare(*pair)
    assert result.distance == result.size
    assert (result.size > 0) or result.identical
    assert shipped.compare(pair[1], pair[0]).size == pytest.approx(result.size, **SYMMETRIC)
    for image in pair:
        same = shipped.compare(image, image.copy())
        assert (same.size, same.parts) == (0, dict.fromkeys(same.amounts, 0))
    back = shipped.compare(pair[1], pair[0])
    assert list(back.amounts.values()) == pytest.approx([*result.amounts.values()], **SYMMETRIC)
    # An enlargement by 25 % is undone by a reduction by 20 %: strengths may differ.
    assert list(back.strengths) == list(result.strengths)
    assert all(np.isfinite(value) and value >= 0 for value in back.strengths.values())
    assert list(back.directions.values()) == pytest.approx(
        [-direction for direction in result.directions.values()], abs=1e-3
    )


@needs_embedded
def test_the_largest_amount_of_a_kind_is_its_scale_times_the_size(shipped, scale):
    manifest = shipped.manifest
    rows = [row for of_kind in manifest.draws.amounts.values() for row in of_kind]
    rows += [row for ladder in manifest.ladders for step in ladder.amounts for row in step]
    table = np.array([row for row in rows if row[-1] > 0])
    presences = table[:, :-1] / table[:, -1:] / np.array(list(scale.values()))
    # At least one kind is fully there, and none is more than that.
    assert presences.max(axis=1) == pytest.approx(np.ones(len(table)), rel=ROUNDED)


@needs_embedded
@SLOW
@given(changed_images(), counted)
def test_a_context_only_weighs_the_size(shipped, scale, pair, given_ones):
    result = shipped.in_context(importances=given_ones).compare(*pair)
    assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-5, abs=1e-9)
    assert all(part >= 0 for part in result.parts.values())
    weights = {name: given_ones.get(name, 0) * scale[name] for name in result.amounts}
    size = given_ones.get("size", 0)
    assert result.distance >= (min(weights.values()) + size) * result.size * (1 - ROUNDING)
    assert result.distance <= (sum(weights.values()) + size) * result.size * (1 + ROUNDING)
    present = {name: result.amounts[name] / scale[name] for name in result.amounts}
    assert max(present.values()) == pytest.approx(result.size, rel=ROUNDING)


@needs_embedded
@SLOW
@given(changed_images(), counted)
def test_importances_of_the_embedded_file_are_linear(shipped, pair, given_ones):
    doubled = {name: 2 * value for name, value in given_ones.items()}
    once = shipped.in_context(importances=given_ones).compare(*pair)
    twice = shipped.in_context(importances=doubled).compare(*pair)
    assert twice.distance == pytest.approx(2 * once.distance, rel=1e-6)
    assert twice.amounts == once.amounts


@needs_embedded
@SLOW
@given(changed_images())
def test_the_general_context_of_the_embedded_file_is_its_size(shipped, pair):
    general = Metric(shipped.runner, find("general").context.for_distortions(contexts.KINDS))
    result = general.compare(*pair)
    assert result.distance == result.size
    present = {name for name, amount in result.amounts.items() if amount > 0}
    assert {name for name, part in result.parts.items() if part > 0} == present
    assert bool(present) == (result.size > 0)
