"""Several contexts of one file: the same numbers as one by one, for one run of the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from infer_helpers import AMOUNTS, IMPORTANCES, KINDS, encode

from dps_infer import Metric
from dps_infer.compare import pairs
from dps_infer.compare.runner import distances, importance_vector
from dps_infer.compare.stream import compare_in_all, score
from dps_infer.errors import ContextError
from dps_infer.images.decode import Pair, load_picture, make_pair
from dps_infer.model import embedded
from dps_infer.model.contract import Measurement

RANKINGS = ("color,rotate,blur", "blur,color,rotate", "rotate=blur,color")


@pytest.fixture(scope="module")
def contexts(universal) -> dict[str, Metric]:
    """Rankings and importances of one file, by label."""
    opened = [universal.in_context(ranking=ranking) for ranking in RANKINGS]
    opened.append(universal.in_context(importances="color=0.3,other=0.7"))
    opened.append(universal.in_context(importances="size=1,blur=0.5"))
    return {context.label: context for context in opened}


@pytest.fixture
def runs(universal, monkeypatch) -> list[tuple[str, ...]]:
    """The outputs fetched by each run of the universal file."""
    seen = []
    run = universal.runner._engine.run

    def counting(fetches, feeds, **options):
        seen.append(tuple(fetches))
        return run(fetches, feeds, **options)

    monkeypatch.setattr(universal.runner._engine, "run", counting)
    return seen


def pair_of(first, second):
    return make_pair(load_picture(first, label="a"), load_picture(second, label="b"))


def mixed_pairs(photo) -> list:
    """Pairs of two sizes; one pair is identical, one has transparency."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (3, *photo.shape), np.uint8)
    alpha = encode(".png", np.dstack([noise[0], photo[..., 0]]))
    return [
        pair_of(photo, noise[0]),
        pair_of(photo[:9], noise[1][:9]),
        pair_of(noise[2], noise[2].copy()),
        pair_of(photo, alpha),
        pair_of(photo, noise[2]),
    ]


def test_company_changes_no_digit(contexts, photo):
    mixed = mixed_pairs(photo)
    together = compare_in_all(mixed, contexts)
    for label, context in contexts.items():
        alone = context.compare_pairs(mixed)
        assert [comparisons[label] for comparisons in together] == alone
    assert [list(comparisons) for comparisons in together] == [list(contexts)] * len(mixed)
    assert [c.distance for c in together[2].values()] == [0.0] * len(contexts)


def test_the_network_runs_once_for_all_contexts(contexts, photo, runs):
    found = list(score([(photo, 255 - photo)] * 3, contexts))
    assert len(runs) == 1
    assert all(set(one.comparisons) == set(contexts) for one in found)


def test_maps_are_each_contexts_own(contexts, photo, runs):
    mixed = mixed_pairs(photo)
    together = compare_in_all(mixed, contexts, with_map=True)
    for label, context in contexts.items():
        alone = context.compare_pairs(mixed, with_map=True)
        for comparisons, one in zip(together, alone, strict=True):
            assert comparisons[label] == one
            np.testing.assert_array_equal(comparisons[label].map, one.map)
            np.testing.assert_array_equal(comparisons[label].cells, one.cells)
    first, *others = (comparison.map for comparison in together[0].values())
    assert not any(np.array_equal(first, other) for other in others)
    # What kinds of change are in a cell does not depend on the context.
    first, *others = (comparison.cells for comparison in together[0].values())
    assert all(np.array_equal(first, other) for other in others)


def test_each_context_takes_the_rendering_in_which_it_sees_more(universal):
    black = np.zeros((8, 8, 3), np.uint8)
    redder, greener = (black + np.array(colour, np.uint8) for colour in ((255, 0, 0), (0, 51, 0)))
    pair = Pair(((black, redder), (black, greener)), ())
    contexts = {name: universal.in_context(importances={name: 1}) for name in ("rotate", "blur")}
    (found,) = compare_in_all([pair], contexts)
    assert found["rotate"].distance == pytest.approx(1)
    assert found["blur"].distance == pytest.approx(0.2)


def test_the_size_is_shared_among_the_kinds_that_it_is_made_of(universal):
    black = np.zeros((8, 8, 3), np.uint8)
    # Amounts: 1 of rotate and 0.2 of blur; the size is the mean of 1, 0.2 and 0.
    changed = black + np.array((255, 51, 0), np.uint8)
    general = universal.in_context(importances={"size": 1}).compare(black, changed)
    assert general.distance == general.size == pytest.approx(0.4, rel=1e-5)
    shares = {name: part for name, part in general.parts.items() if part}
    assert shares == {
        "rotate": pytest.approx(0.4 * 5 / 6, rel=1e-5),
        "blur": pytest.approx(0.4 / 6, rel=1e-5),
    }
    mixed = universal.in_context(importances={"size": 1, "blur": 2}).compare(black, changed)
    assert mixed.distance == pytest.approx(0.4 + 2 * 0.2, rel=1e-5)
    assert mixed.parts["rotate"] == pytest.approx(0.4 * 5 / 6, rel=1e-5)
    assert mixed.parts["blur"] == pytest.approx(0.4 / 6 + 2 * 0.2, rel=1e-5)
    assert (mixed.amounts, mixed.size) == (general.amounts, general.size)


named = st.dictionaries(st.sampled_from([*KINDS[:-1]]), st.floats(0, 8), max_size=4)


@given(named, st.floats(0, 8), st.dictionaries(st.sampled_from(AMOUNTS), st.floats(0, 1e3)))
def test_parts_add_up_whatever_a_file_reports(given_amounts, size, importances):
    amounts = {**dict.fromkeys(KINDS, 0.0), **given_amounts}
    parts = pairs._parts(amounts, size, importances)
    assert list(parts) == KINDS
    assert all(part >= 0 for part in parts.values())
    values = {**amounts, "size": size}
    expected = sum(importances.get(name, 0.0) * value for name, value in values.items())
    assert sum(parts.values()) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_other_files_are_measured_on_their_own(universal, context, photo, runs):
    contexts = {"a": universal, "plain": context, "b": universal.in_context(ranking="blur,color")}
    (found,) = compare_in_all([pair_of(photo, 255 - photo)], contexts)
    assert list(found) == ["a", "plain", "b"]
    assert found["plain"] == context.compare_pairs([pair_of(photo, 255 - photo)])[0]
    assert len(runs) == 1


amounts = arrays(
    np.float32, st.tuples(st.integers(1, 40), st.just(9)), elements=st.floats(0, 8, width=32)
)


def test_amounts_too_large_for_a_context_are_refused(universal):
    huge = np.full((1, len(IMPORTANCES)), 1e38, np.float32)
    measurement = Measurement(np.zeros(1, np.float32), huge, None)
    with pytest.raises(ContextError, match=r"universal\.onnx: gave a distance that is no finite"):
        universal.runner.weigh(measurement, dict.fromkeys(IMPORTANCES, 1e6))


@given(amounts, st.lists(st.floats(0, 1e3), min_size=9, max_size=9))
def test_a_distance_depends_on_its_own_row_alone(values, importances):
    weights = np.array(importances, np.float32)
    together = distances(values, weights)
    alone = [distances(row[None], weights)[0] for row in values]
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together, alone)


@pytest.mark.skipif(
    not embedded.UNIVERSAL.exists(), reason="the package holds no universal file yet"
)
def test_it_agrees_with_the_graphs_own_distance(photo):
    context = Metric.universal(ranking="color,translate,zoom,rotate,darken,blur", device="cpu")
    images = np.stack([photo, photo[::-1], photo[:, ::-1]]), np.stack([255 - photo, photo, photo])
    importance = importance_vector(context.manifest.metric.amounts, context.importances)
    feeds = {"reference": images[0], "distorted": images[1], "importance": importance}
    graphs = context.runner._engine.run(["distance"], feeds)["distance"]
    np.testing.assert_allclose(context.measure(*images).distances, graphs, rtol=1e-6)
