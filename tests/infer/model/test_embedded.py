"""Universal files: any context at run time, and several views of the images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from infer_helpers import CHANNEL_OF, IMPORTANCES, TILE, encode, make_manifest, make_model, write

from dps_infer import Metric, View
from dps_infer.contexts.ranking import ranking_importances
from dps_infer.errors import ContextError, RankingError, UsageError
from dps_infer.model import embedded
from dps_infer.model.calibration import calibrate, percentiles
from dps_infer.model.contract import check_ports
from dps_infer.runtime.engine import Port

# A float32 sum over some hundred pixels, in any order.
CLOSE = {"rel": 1e-5, "abs": 1e-7}

VIEWS = ["whole", "tiles", "both"]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 13)), draw(st.integers(1, 13)), 3)
    return draw(arrays.arrays(np.uint8, shape)), draw(arrays.arrays(np.uint8, shape))


importances = st.dictionaries(st.sampled_from(list(IMPORTANCES)), st.floats(1e-3, 1e3), min_size=1)


def expected_tiles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Amounts of each tile [TH, TW, K+1], by the fake metric's definition."""
    difference = np.abs(first.astype(float) - second) / 255
    height, width, _ = difference.shape
    rows, columns = range(0, height, TILE), range(0, width, TILE)
    tiles = np.zeros((len(rows), len(columns), len(IMPORTANCES)))
    for name, channel in CHANNEL_OF.items():
        place = list(IMPORTANCES).index(name)
        for down, top in enumerate(rows):
            for right, left in enumerate(columns):
                tile = difference[top : top + TILE, left : left + TILE, channel]
                tiles[down, right, place] = tile.mean()
    return tiles


def expected_amounts(first: np.ndarray, second: np.ndarray, view: str) -> np.ndarray:
    difference = np.abs(first.astype(float) - second).mean(axis=(0, 1)) / 255
    whole = np.zeros(len(IMPORTANCES))
    for name, channel in CHANNEL_OF.items():
        whole[list(IMPORTANCES).index(name)] = difference[channel]
    tiles = expected_tiles(first, second).max(axis=(0, 1))
    return {"whole": whole, "tiles": tiles, "both": np.maximum(whole, tiles)}[view]


# --- views ----------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@given(pair=pairs())
def test_each_view_is_what_the_file_computes(universal, pair, view):
    result = universal.compare(*pair, view=view, with_map=True)
    assert result.view == view
    expected = expected_amounts(*pair, view)
    assert list(result.amounts.values()) == pytest.approx(expected.tolist(), **CLOSE)
    assert list(result.amounts) == list(IMPORTANCES)
    if view == "whole":
        assert result.tiles is None
        assert result.map.shape == pair[0].shape[:2]
    else:
        np.testing.assert_allclose(result.tiles, expected_tiles(*pair), rtol=1e-5, atol=1e-7)
        shares = result.tiles @ np.array(list(universal.importances.values()))
        np.testing.assert_allclose(result.map, shares, rtol=1e-5, atol=1e-7)


def test_the_default_view_is_the_files(universal, photo):
    pair = photo, 255 - photo
    for spelt in (View.both, "both", None):
        result = universal.compare(*pair, view=spelt)
        assert result == universal.compare(*pair)
        assert (result.view, result.map, result.tiles) == ("both", None, None)
    assert universal.compare(*pair, view=View.whole) == universal.compare(*pair, view="whole")


def test_a_file_with_views_gives_its_default_where_none_is_named(universal, photo):
    feeds = {
        "reference": photo[None],
        "distorted": 255 - photo[None],
        "importance": np.array(list(universal.importances.values()), np.float32),
    }
    kinds = ("distance", "amounts", "map")
    outputs = universal.runner._engine.run([*kinds, *(f"{kind}_both" for kind in kinds)], feeds)
    for kind in kinds:
        np.testing.assert_array_equal(outputs[kind], outputs[f"{kind}_both"])


def test_a_batch_is_its_pairs_whatever_the_runs(universal, photo, monkeypatch):
    pair = np.stack([photo, photo[::-1], photo[:, ::-1]]), np.stack([255 - photo] * 3)
    whole = [universal.compare_batch(*pair, view=view, with_map=True) for view in VIEWS]
    monkeypatch.setattr("dps_infer.compare.pairs.PIXELS_PER_RUN", 1)
    for view, results in zip(VIEWS, whole, strict=True):
        alone = universal.compare_batch(*pair, view=view, with_map=True)
        for one, other in zip(alone, results, strict=True):
            assert one.distance == pytest.approx(other.distance, **CLOSE)
            np.testing.assert_allclose(one.map, other.map, rtol=1e-5)
            assert (one.tiles is None) == (view == "whole")
    shared = universal.compare_batch(photo, list(pair[1]), view="tiles")
    assert shared[0].distance == pytest.approx(
        universal.compare(photo, pair[1][0], view="tiles").distance, **CLOSE
    )


def test_map_and_tiles_are_of_the_rendering_that_counts(universal):
    white = np.full((8, 8, 3), 255, np.uint8)
    alpha = np.zeros((8, 8), np.uint8)
    # Over white both are white; over black they differ as much as images can.
    result = universal.compare(white, encode(".png", np.dstack([white, alpha])), with_map=True)
    assert result.tiles[..., list(IMPORTANCES).index("blur")].tolist() == [[1, 1], [1, 1]]
    assert result.map.mean() == pytest.approx(result.distance, **CLOSE)


def test_views_that_are_not_there(universal, context, photo):
    with pytest.raises(UsageError, match="expected one of whole, tiles, both"):
        universal.compare(photo, photo, view="parts")
    for ask in (
        lambda: context.compare(photo, photo, view="tiles"),
        lambda: context.compare_batch([photo], [photo], view=View.whole),
        lambda: context.measure(photo[None], photo[None], view="both"),
    ):
        with pytest.raises(ContextError, match="there is no view"):
            ask()
    assert context.compare(photo, photo).view is None


def test_a_plain_file_may_have_views(tmp_path, photo):
    path = write(tmp_path / "a.onnx", make_model(views=True))
    result = Metric.load(path).compare(photo, 255 - photo, view="tiles")
    expected = expected_amounts(photo, 255 - photo, "tiles")
    assert result.distance == pytest.approx(expected @ list(IMPORTANCES.values()), **CLOSE)


# --- contexts at run time -------------------------------------------------------------


@given(pairs(), importances, st.sampled_from(VIEWS))
def test_importances_multiply_amounts_and_parts_add_up(universal, pair, given_ones, view):
    context = universal.in_context(importances=given_ones)
    assert context.importances == {name: given_ones.get(name, 0) for name in IMPORTANCES}
    assert context.ranking is None
    result = context.compare(*pair, view=view)
    weights = np.array(list(context.importances.values()))
    expected = weights @ expected_amounts(*pair, view)
    assert result.distance == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-5)
    assert context.compare(pair[1], pair[0], view=view).distance == pytest.approx(
        result.distance, rel=1e-5
    )
    assert context.compare(pair[0], pair[0], view=view).distance == 0


@given(pairs(), importances, st.sampled_from(VIEWS))
def test_doubling_every_importance_doubles_every_distance(universal, pair, given_ones, view):
    doubled = {name: 2 * value for name, value in given_ones.items()}
    once = universal.in_context(importances=given_ones).compare(*pair, view=view)
    twice = universal.in_context(importances=doubled).compare(*pair, view=view)
    # Doubling is exact in binary; only the sum of products is rounded.
    assert twice.distance == pytest.approx(2 * once.distance, rel=1e-6)
    assert twice.amounts == once.amounts
    # The draws' distances are doubled as well.
    assert twice.percentiles == pytest.approx(once.percentiles, abs=1e-5)


def test_another_context_shares_the_engine(universal, photo):
    other = universal.in_context(ranking="blur,color")
    assert other.runner._engine is universal.runner._engine
    assert other.ranking == (("blur",), ("color",))
    assert other.importances == ranking_importances(other.ranking, list(IMPORTANCES)[:-1])
    assert universal.ranking == (("color",), ("rotate",), ("blur",))
    pair = photo, 255 - photo
    assert other.compare(*pair).distance != universal.compare(*pair).distance
    assert other.in_context(ranking="color,rotate,blur").compare(*pair) == universal.compare(*pair)


def test_percentiles_are_those_of_the_context(universal, photo):
    draws = universal.manifest.draws
    for ranking in ("color,rotate,blur", "blur,color"):
        context = universal.in_context(ranking=ranking)
        result = context.compare(photo, 255 - photo)
        expected = percentiles(result.distance, calibrate(draws, context.importances))
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
    write(path, make_model(plain, views=True))
    refusal(path, "expected distance, and maybe amounts and map")
    write(path, make_model(make_manifest(views=True)))
    refusal(path, "expected distance, amounts, map, distance_whole")


@pytest.mark.parametrize(
    "port",
    [
        Port("importance", "double", (7,)),
        Port("importance", "float", (6,)),
        Port("importance", "float", (1, 7)),
        Port("importance", "float", ()),
    ],
    ids=str,
)
def test_wrong_inputs_for_importances(universal, port):
    engine = universal.runner._engine
    inputs = {**engine.inputs, "importance": port}
    with pytest.raises(ContextError, match="one for each amount"):
        check_ports(inputs, engine.outputs, universal.manifest)


@pytest.mark.parametrize(
    "name", ["tiles", "amounts_tiles", "map_both", "distance_whole", "amounts"]
)
def test_wrong_outputs_of_views(universal, name):
    engine = universal.runner._engine
    missing = {key: port for key, port in engine.outputs.items() if key != name}
    with pytest.raises(ContextError, match="has the outputs"):
        check_ports(engine.inputs, missing, universal.manifest)
    shape = engine.outputs[name].shape
    for wrong in (Port(name, "double", shape), Port(name, "float", (*shape, None))):
        with pytest.raises(ContextError, match=f"output {name}"):
            check_ports(engine.inputs, {**engine.outputs, name: wrong}, universal.manifest)
    if name in ("tiles", "amounts", "amounts_tiles"):
        narrow = Port(name, "float", (*shape[:-1], 3))
        with pytest.raises(ContextError, match="3 columns"):
            check_ports(engine.inputs, {**engine.outputs, name: narrow}, universal.manifest)


def test_amounts_that_do_not_add_up_are_refused(tmp_path, photo, monkeypatch):
    path = write(tmp_path / "a.onnx", make_model(universal=True, views=True, offset=0.5))
    with pytest.raises(ContextError, match="do not add up"):
        Metric.load(path, importances={"blur": 1})
    # Not only in the first run, on small images: later ones are checked too.
    monkeypatch.setattr("dps_infer.compare.probe.check_by_running", lambda *_: None)
    context = Metric.load(path, importances={"blur": 1})
    for view in VIEWS:
        with pytest.raises(ContextError, match="do not add up"):
            context.compare(photo, 255 - photo, view=view)


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


@pytest.mark.skipif(
    not embedded.UNIVERSAL.exists(), reason="the package holds no universal file yet"
)
def test_the_embedded_file_is_small_and_measures(photo):
    assert embedded.UNIVERSAL.stat().st_size < 2_000_000
    context = Metric.universal(ranking="color,translate,zoom,rotate,darken,blur", device="cpu")
    assert context.manifest.universal
    assert context.manifest.views is not None
    for view in VIEWS:
        result = context.compare(photo, 255 - photo, view=view)
        assert result.distance > 0
        assert sum(result.parts.values()) == pytest.approx(result.distance, rel=1e-4)
        assert context.compare(photo, photo, view=view).distance == 0
