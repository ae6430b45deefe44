"""Reading distances by known draws: percentiles, and quantiles and scores of any context."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import (
    AMOUNTS,
    DISTORTIONS,
    DRAWN,
    DRAWS_EACH,
    IMAGES,
    IMPORTANCES,
    LEVELS,
    make_draws,
)

from dps_infer.contexts.context import Context, ranking_context
from dps_infer.model.calibration import calibrate, percentiles, scores
from dps_infer.model.manifest import Calibration

# --- percentiles ----------------------------------------------------------------------


def share(distance: float, quantiles: list[float]) -> float:
    calibration = Calibration(levels=LEVELS, distances={"blur": quantiles}, images=1)
    return percentiles(distance, calibration)["blur"]


def test_percentiles_interpolate():
    quantiles = [1.0, 2.0, 4.0, 4.0, 8.0]
    assert share(0.5, quantiles) == 0
    assert share(1.0, quantiles) == 0
    assert share(1.5, quantiles) == 0.125
    assert share(3.0, quantiles) == 0.375
    assert share(4.0, quantiles) == 0.5
    assert share(6.0, quantiles) == 0.875
    assert share(8.0, quantiles) == 1
    assert share(9.0, quantiles) == 1
    assert share(0.0, [0.0] * 5) == 0


@given(
    st.lists(st.floats(0, 10), min_size=5, max_size=5).map(sorted),
    st.floats(0, 12),
    st.floats(0, 12),
)
def test_percentiles_rise_with_the_distance(quantiles, first, second):
    low, high = sorted([first, second])
    assert 0 <= share(low, quantiles) <= share(high, quantiles) <= 1


# --- quantiles of a context -----------------------------------------------------------

importances = st.fixed_dictionaries({name: st.floats(0, 10) for name in IMPORTANCES})


def distances(name: str, weights: dict[str, float]) -> list[float]:
    return [
        sum(weights.get(part, 0) * amount for part, amount in zip(IMPORTANCES, row, strict=True))
        for row in make_draws().amounts[name]
    ]


@given(importances)
def test_quantiles_are_those_of_the_draws_distances(weights):
    calibration = calibrate(make_draws(), AMOUNTS, weights)
    assert calibration.images == IMAGES
    assert calibration.levels == [step / 100 for step in range(101)]
    assert list(calibration.distances) == DRAWN
    for name, quantiles in calibration.distances.items():
        assert quantiles == sorted(quantiles)
        expected = np.quantile(distances(name, weights), calibration.levels)
        assert quantiles == pytest.approx(expected.tolist(), rel=1e-12)


# --- scores of a context --------------------------------------------------------------


def expected_score(pairs: list[tuple[str, str]], distances_of) -> float:
    """2AFC by its definition: pair by pair, image by image, draw by draw."""
    shares = []
    for less, more in pairs:
        near, far = distances_of(less), distances_of(more)
        votes = []
        for image in range(IMAGES):
            rows = range(image * DRAWS_EACH, (image + 1) * DRAWS_EACH)
            for one, other in itertools.product(rows, rows):
                votes.append(0.5 if near[one] == far[other] else float(near[one] < far[other]))
        shares.append(sum(votes) / len(votes))
    return sum(shares) / len(shares)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("color,blur", [("color", "blur")]),
        ("blur,color=zoom", [("blur", "color"), ("blur", "zoom")]),
        # No draws show a mirror image, and none of what is left: they have no pairs.
        ("mirror,color,other,blur", [("color", "blur")]),
        (
            "color,*,blur=mirror",
            [
                ("color", "rotate"),
                ("color", "translate"),
                ("color", "darken"),
                ("color", "zoom"),
                ("color", "blur"),
                ("rotate", "blur"),
                ("translate", "blur"),
                ("darken", "blur"),
                ("zoom", "blur"),
            ],
        ),
        ("rotate,zoom,darken", [("rotate", "zoom"), ("rotate", "darken"), ("zoom", "darken")]),
    ],
)
def test_scores_follow_their_definition(text, pairs):
    draws = make_draws()
    context = ranking_context(text, DISTORTIONS)
    weights = context.importances
    found = scores(draws, AMOUNTS, context)
    assert found.adapted == pytest.approx(expected_score(pairs, lambda n: distances(n, weights)))
    assert found.baseline == pytest.approx(expected_score(pairs, draws.uniform.__getitem__))
    true = {name: np.array(values) * weights[name] for name, values in draws.true_amounts.items()}
    assert found.ceiling == pytest.approx(expected_score(pairs, true.__getitem__))
    assert 0.5 < found.adapted < 1


def test_importances_order_what_is_unequal():
    draws = make_draws()
    weights = {**dict.fromkeys(IMPORTANCES, 1.0), "blur": 2.0, "color": 0.5, "other": 9.0}
    pairs = [
        (less, more)
        for less, more in itertools.product(DRAWN, DRAWN)
        if weights[less] < weights[more]
    ]
    found = scores(draws, AMOUNTS, Context(weights))
    assert found.adapted == pytest.approx(expected_score(pairs, lambda n: distances(n, weights)))


def test_nothing_ordered_has_no_score():
    assert (
        scores(make_draws(), AMOUNTS, Context({**dict.fromkeys(IMPORTANCES, 1.0), "other": 2.0}))
        is None
    )


def test_equal_distances_count_half():
    draws = make_draws()
    draws.uniform = dict.fromkeys(DRAWN, [1.0] * (IMAGES * DRAWS_EACH))
    assert scores(draws, AMOUNTS, ranking_context("color,blur", DISTORTIONS)).baseline == 0.5
