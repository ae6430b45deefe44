"""The measures, each against its definition written out with loops."""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from train_helpers import seeded

from dps_infer.ranking import parse_importances, parse_ranking, ranked_pairs
from dps_train.contexts import (
    AMOUNTS,
    Context,
    importance_context,
    importance_table,
    pair_table,
    random_rankings,
    ranking_context,
)
from dps_train.distortions import NAMES
from dps_train.evaluate import (
    EvaluationBank,
    Measures,
    calibration_quantiles,
    evaluate,
    two_afc,
)

KINDS, DRAWS, GRADES, IMAGES = len(NAMES), 3, 7, 5

# Distances and means here are float32 sums of a few terms.
CLOSE = {"rel": 1e-6, "abs": 1e-7}


class Perfect:
    """A head whose channel distances are the amounts themselves."""

    def amounts(self, z: torch.Tensor) -> torch.Tensor:
        return z


def small_integers(*shape: int, seed: int, low: int = 0, high: int = 5) -> torch.Tensor:
    """Few values, so that ties are frequent and sums exact."""
    return torch.randint(low, high, shape, generator=seeded(seed)).float()


@pytest.fixture
def bank() -> EvaluationBank:
    drawn = small_integers(KINDS, DRAWS, IMAGES, len(AMOUNTS), seed=1)
    return EvaluationBank(
        drawn=drawn,
        drawn_amounts=small_integers(KINDS, DRAWS, IMAGES, seed=2, low=1),
        graded=small_integers(KINDS, GRADES, IMAGES, len(AMOUNTS), seed=3),
        composed=small_integers(KINDS, KINDS, IMAGES, len(AMOUNTS), seed=4),
        noise=small_integers(IMAGES, len(AMOUNTS), seed=5) / 64,
        unseen={
            "jpeg": small_integers(GRADES, IMAGES, len(AMOUNTS), seed=6),
            "tint": small_integers(GRADES, IMAGES, len(AMOUNTS), seed=7),
        },
    )


def perfect_bank(bank: EvaluationBank) -> EvaluationBank:
    """Channel distances that are the true amounts of the draws."""
    drawn = torch.zeros(KINDS, DRAWS, IMAGES, len(AMOUNTS))
    for kind in range(KINDS):
        drawn[kind, :, :, kind] = bank.drawn_amounts[kind]
    return EvaluationBank(**{**vars(bank), "drawn": drawn})


def contexts() -> list[Context]:
    texts = ("3,1,5,0,2,4", "4=2,0", "0=1=2,3=4=5", "5,4")
    ranked = [ranking_context(parse_ranking(text, NAMES)) for text in texts]
    given = importance_context(parse_importances("color=0.25,blur=4,other=0.5", NAMES))
    return [*ranked, given]


def distance(amounts: torch.Tensor, context: Context) -> float:
    return sum(
        context.importances[name] * value
        for name, value in zip(AMOUNTS, amounts.tolist(), strict=True)
    )


def agreement(close: float, far: float) -> float:
    return 1.0 if close < far else 0.5 if close == far else 0.0


def expected_score(context: Context, measured) -> float:
    """2AFC by its definition; `measured` gives the distance of (kind, draw, image)."""
    scores = []
    for less, more in ranked_pairs(context.ranking):
        a, b = NAMES.index(less), NAMES.index(more)
        for image in range(IMAGES):
            for draw, other in itertools.product(range(DRAWS), repeat=2):
                scores.append(agreement(measured(a, draw, image), measured(b, other, image)))
    return statistics.fmean(scores)


def spearman(series: list[float]) -> float:
    """scipy's, with 0 for a constant series, of which it knows none."""
    if len(set(series)) == 1:
        return 0.0
    return float(spearmanr(range(len(series)), series).statistic)


# --- 2AFC -----------------------------------------------------------------------------


def test_two_afc_closed_form():
    # Two distortions, two draws, one image: 1 and 2 against 2 and 3. One of four is a tie.
    distances = torch.tensor([[[[1.0], [2.0]], [[2.0], [3.0]]]])
    judged = torch.tensor([[[False, True], [True, False]]])
    table = two_afc(distances, judged)
    assert table[0, 0, 1] == (1 + 1 + 0.5 + 1) / 4
    assert table[0, 1, 0] == 1 - table[0, 0, 1]
    assert table[0, 0, 0].isnan()


def test_two_afc_of_ties_is_a_half_and_of_unjudged_pairs_nothing():
    judged = pair_table(contexts())
    table = two_afc(torch.ones(len(judged), KINDS, DRAWS, IMAGES), judged)
    assert torch.all(table[judged] == 0.5)
    assert torch.all(table[~judged].isnan())


def test_two_afc_compares_within_an_image_only():
    distances = torch.tensor([[[[1.0, 100.0]], [[2.0, 101.0]]]])
    judged = torch.tensor([[[False, True], [False, False]]])
    assert two_afc(distances, judged)[0, 0, 1] == 1


# --- evaluate -------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(5))
def test_score_baseline_and_ceiling_of_one_context(bank, number):
    context = contexts()[number]
    measures = evaluate(Perfect(), bank, [context])
    assert isinstance(measures, Measures)
    score = expected_score(context, lambda k, v, m: distance(bank.drawn[k, v, m], context))
    baseline = expected_score(context, lambda k, v, m: float(bank.drawn[k, v, m].sum()))
    importances = [context.importances[name] for name in NAMES]
    ceiling = expected_score(
        context, lambda k, v, m: importances[k] * float(bank.drawn_amounts[k, v, m])
    )
    for spread, expected in (
        (measures.score, score),
        (measures.baseline, baseline),
        (measures.ceiling, ceiling),
    ):
        assert spread.mean == spread.min == spread.max == pytest.approx(expected, **CLOSE)
    assert measures.improved == float(score > baseline)
    assert measures.rankings == 1
    assert measures.images == IMAGES


def test_true_amounts_reach_the_ceiling_exactly(bank):
    measures = evaluate(Perfect(), perfect_bank(bank), contexts())
    assert measures.score == measures.ceiling
    assert measures.pairs == measures.ceiling_pairs


def test_several_contexts(bank):
    chosen = random_rankings(20, seeded())
    together = evaluate(Perfect(), bank, chosen)
    alone = [evaluate(Perfect(), bank, [context]) for context in chosen]
    assert together.rankings == 20
    for name in ("score", "baseline", "ceiling"):
        values = [getattr(measures, name).mean for measures in alone]
        spread = getattr(together, name)
        assert spread.mean == pytest.approx(statistics.fmean(values), **CLOSE)
        assert spread.min == pytest.approx(min(values), **CLOSE)
        assert spread.max == pytest.approx(max(values), **CLOSE)
    better = [measures.score.mean > measures.baseline.mean for measures in alone]
    assert together.improved == pytest.approx(statistics.fmean(better), **CLOSE)
    for name in ("composition", "stability"):
        values = [getattr(measures, name) for measures in alone]
        assert getattr(together, name) == pytest.approx(statistics.fmean(values), **CLOSE)
    for name in ("pairs", "baseline_pairs", "ceiling_pairs"):
        for pair, value in getattr(together, name).items():
            values = [getattr(m, name)[pair] for m in alone if pair in getattr(m, name)]
            assert value == pytest.approx(statistics.fmean(values), **CLOSE), pair
    for name in ("monotonicity", "retention"):
        for key, value in getattr(together, name).items():
            values = [getattr(measures, name)[key] for measures in alone]
            assert value == pytest.approx(statistics.fmean(values), **CLOSE), key


def test_pairs_are_named_less_before_more(bank):
    context = contexts()[1]
    measures = evaluate(Perfect(), bank, [context])
    assert set(measures.pairs) == {"darken>rotate", "blur>rotate"}
    for pair, value in measures.pairs.items():
        less, more = (NAMES.index(name) for name in pair.split(">"))
        scores = [
            agreement(
                distance(bank.drawn[less, v, m], context), distance(bank.drawn[more, w, m], context)
            )
            for m in range(IMAGES)
            for v in range(DRAWS)
            for w in range(DRAWS)
        ]
        assert value == pytest.approx(statistics.fmean(scores), **CLOSE)


def test_monotonicity_and_retention_are_spearmans(bank):
    context = contexts()[0]
    measures = evaluate(Perfect(), bank, [context])
    for kind, name in enumerate(NAMES):
        series = [
            [distance(bank.graded[kind, grade, image], context) for grade in range(GRADES)]
            for image in range(IMAGES)
        ]
        expected = statistics.fmean(map(spearman, series))
        assert measures.monotonicity[name] == pytest.approx(expected, abs=1e-9)
    assert set(measures.retention) == set(bank.unseen)
    for name, z in bank.unseen.items():
        series = [
            [distance(z[grade, image], context) for grade in range(GRADES)]
            for image in range(IMAGES)
        ]
        expected = statistics.fmean(map(spearman, series))
        assert measures.retention[name] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, -1.0), (0, 0.0)])
def test_monotonicity_of_rising_falling_and_constant_distances(bank, sign, expected):
    rising = torch.arange(GRADES, dtype=torch.float32)[None, :, None, None]
    graded = (sign * rising + 10).expand(KINDS, GRADES, IMAGES, len(AMOUNTS)).contiguous()
    changed = EvaluationBank(**{**vars(bank), "graded": graded})
    measures = evaluate(Perfect(), changed, contexts()[:2])
    assert list(measures.monotonicity.values()) == pytest.approx([expected] * KINDS, abs=1e-12)


def test_composition(bank):
    context = contexts()[0]
    holds = []
    for first, second in itertools.permutations(range(KINDS), 2):
        for image in range(IMAGES):
            alone = [distance(bank.drawn[k, 0, image], context) for k in (first, second)]
            both = distance(bank.composed[first, second, image], context)
            holds.append(both >= max(alone))
    measures = evaluate(Perfect(), bank, [context])
    assert measures.composition == pytest.approx(statistics.fmean(holds), **CLOSE)


@pytest.mark.parametrize(("number", "least"), [(0, "color"), (3, "zoom")])
def test_stability(bank, number, least):
    context = contexts()[number]
    kind = NAMES.index(least)
    noise = statistics.fmean(distance(z, context) for z in bank.noise)
    drawn = [
        distance(bank.drawn[kind, draw, image], context)
        for draw in range(DRAWS)
        for image in range(IMAGES)
    ]
    measures = evaluate(Perfect(), bank, [context])
    assert measures.stability == pytest.approx(noise / statistics.median(drawn), **CLOSE)


@pytest.mark.parametrize("text", ["color=1", "other=1", "color=2,blur=2", "rotate=1,translate=1,"
                                  "darken=1,color=1,blur=1,zoom=1,other=1"])  # fmt: skip
def test_measures_are_finite_in_every_context(bank, text):
    # Importances of 0 make distances of 0, and all equal ones leave no pair to judge.
    context = importance_context(parse_importances(text, NAMES))
    measures = evaluate(Perfect(), perfect_bank(bank), [context])
    # As it is written: what is not known may be missing, but is never NaN or infinite.
    json.dumps(dataclasses.asdict(measures), allow_nan=False)
    assert list(measures.monotonicity) == list(NAMES)


# --- calibration ----------------------------------------------------------------------


def test_calibration_quantiles_are_numpys(bank):
    context, levels = contexts()[0], [0.0, 0.1, 0.5, 0.99, 1.0]
    quantiles = calibration_quantiles(Perfect(), bank, context, levels)
    assert list(quantiles) == list(NAMES)
    (importances,) = importance_table([context])
    for kind, name in enumerate(NAMES):
        distances = (bank.drawn[kind] @ importances).double().numpy().ravel()
        np.testing.assert_allclose(quantiles[name], np.quantile(distances, levels), rtol=1e-12)
