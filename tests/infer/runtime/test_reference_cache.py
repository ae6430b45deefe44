"""One reference with many candidates: its features are computed once."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from dps_infer import Metric
from dps_infer.compare import pairs as compared
from dps_infer.compare.stream import score
from dps_infer.model import embedded
from dps_infer.runtime import reference_cache
from dps_infer.runtime.engine import Engine

pytestmark = pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)

SHAPE = (100, 130, 3)
CANDIDATES = 5


@pytest.fixture(scope="module")
def context() -> Metric:
    return Metric.universal(ranking="color,blur", device="cpu", threads=1)


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    """One candidate a run, and two of one reference are worth it."""
    monkeypatch.setattr(compared, "PIXELS_PER_RUN", 1)
    monkeypatch.setattr(reference_cache, "FEWEST_CANDIDATES", 2)


@pytest.fixture
def computed(monkeypatch) -> list[tuple[str, ...]]:
    """What every run of a session is asked for."""
    seen: list[tuple[str, ...]] = []
    compute = Engine._compute

    def counting(self, session, fetches, feeds):
        seen.append(fetches)
        return compute(self, session, fetches, feeds)

    monkeypatch.setattr(Engine, "_compute", counting)
    return seen


def images(count: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8))


def of_the_reference(computed) -> int:
    return sum("distance" not in fetches for fetches in computed)


@pytest.mark.parametrize("with_map", [False, True])
def test_the_numbers_are_those_of_pairs(context, with_map):
    (reference,), candidates = images(1), images(CANDIDATES, 1)
    options = {"with_map": with_map}
    shared = context.compare_batch(reference, candidates, **options)
    pairs = context.compare_batch([reference.copy() for _ in candidates], candidates, **options)
    for one, other in zip(shared, pairs, strict=True):
        assert one.size == pytest.approx(other.size, rel=1e-4)
        assert one.amounts == pytest.approx(other.amounts, rel=1e-3, abs=1e-4)
        assert one.strengths == pytest.approx(other.strengths, rel=1e-3)
        assert one.directions == pytest.approx(other.directions, abs=1e-3)
        if with_map:
            np.testing.assert_allclose(one.map, other.map, rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(one.cells, other.cells, rtol=1e-3, atol=1e-4)


def test_the_reference_is_computed_once_however_many_batches(context, computed):
    (reference,), candidates = images(1), images(CANDIDATES, 1)
    context.compare_batch(reference, candidates, batch_size=2)
    # The last batch is a pair like any other, and takes the graph as it is.
    assert of_the_reference(computed) == 1
    assert len(computed) == 1 + CANDIDATES


def test_what_would_take_too_much_memory_is_not_kept(context, computed, monkeypatch):
    monkeypatch.setattr(reference_cache, "MOST_PIXELS", SHAPE[0] * SHAPE[1] - 1)
    (reference,), candidates = images(1), images(CANDIDATES, 1)
    context.compare_batch(reference, candidates)
    assert of_the_reference(computed) == 0


@pytest.mark.parametrize(("fewest", "times"), [(CANDIDATES, 1), (CANDIDATES + 1, 0)])
def test_few_candidates_are_not_worth_it(context, computed, monkeypatch, fewest, times):
    monkeypatch.setattr(reference_cache, "FEWEST_CANDIDATES", fewest)
    (reference,), candidates = images(1), images(CANDIDATES, 1)
    context.compare_batch(reference, candidates)
    assert of_the_reference(computed) == times


def test_another_reference_is_another(context, computed):
    references, candidates = images(2), images(4, 1)
    pairs = [(references[number // 2], candidate) for number, candidate in enumerate(candidates)]
    found = [one.comparisons[""].distance for one in score(pairs, {"": context})]
    assert of_the_reference(computed) == 2
    alone = [context.compare(*pair).distance for pair in pairs]
    assert found == pytest.approx(alone, rel=1e-5)


def test_a_reference_that_is_changed_between_calls_is_computed_anew(context):
    (reference,), candidates = images(1), images(3, 1)
    before = context.compare_batch(reference, candidates)
    reference[:] = candidates[0]
    after = context.compare_batch(reference, candidates)
    assert before[0].distance > 0
    assert after[0].distance == 0


def test_identical_images_stay_at_0_in_any_company(context):
    (reference,), candidates = images(1), images(3, 1)
    found = context.compare_batch(reference, [*candidates, reference.copy()])
    assert [one.distance == 0 for one in found] == [False, False, False, True]


def test_a_batch_gives_the_same_digits_wherever_scoring_starts(context):
    (reference,), candidates = images(1), images(6, 1)
    pairs = [(reference, candidate) for candidate in candidates]
    throughout = list(score(pairs, {"": context}, batch_size=2))
    continued = score(islice(pairs, 4, None), {"": context}, batch_size=2)
    expected = [one.comparisons[""] for one in throughout[4:]]
    assert [one.comparisons[""] for one in continued] == expected
