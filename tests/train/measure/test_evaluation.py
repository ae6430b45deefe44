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

from dps_infer.contexts.context import Context, importance_context, ranking_context
from dps_infer.contexts.ranking import OTHER, parse_importances, parse_ranking, ranked_pairs
from dps_train.contexts import PAPER_AMOUNTS, importance_table, pair_table, random_rankings
from dps_train.distortions.paper import NAMES
from dps_train.measure import evaluation as evaluation
from dps_train.measure.evaluation import Measures, evaluate, evaluate_adapted
from dps_train.measure.evaluation_bank import EvaluationBank
from dps_train.measure.statistics import spearman, two_afc
from dps_train.measure.stored_draws import calibration_quantiles
from dps_train.model.context_heads import scalars_in_contexts, unadapted_in_contexts
from dps_train.model.heads import AdditiveHead

KINDS, DRAWS, GRADES, IMAGES = len(NAMES), 3, 7, 5

# Distances and means here are float32 sums of a few terms.
CLOSE = {"rel": 1e-6, "abs": 1e-7}
NUMPY_CLOSE = {"rtol": 1e-6, "atol": 1e-7}


class Perfect(AdditiveHead):
    """A head whose channel distances are the amounts themselves."""

    def __init__(self) -> None:
        super().__init__(PAPER_AMOUNTS, len(PAPER_AMOUNTS))

    def amounts(self, z: torch.Tensor) -> torch.Tensor:
        return z

    def total(self, z: torch.Tensor) -> torch.Tensor:
        return z.sum(dim=-1)


def small_integers(*shape: int, seed: int, low: int = 0, high: int = 5) -> torch.Tensor:
    """Few values, so that ties are frequent and sums exact."""
    return torch.randint(low, high, shape, generator=seeded(seed)).float()


@pytest.fixture
def bank() -> EvaluationBank:
    drawn = small_integers(KINDS, DRAWS, IMAGES, len(PAPER_AMOUNTS), seed=1)
    return EvaluationBank(
        names=NAMES,
        drawn=drawn,
        drawn_amounts=small_integers(KINDS, DRAWS, IMAGES, seed=2, low=1),
        graded=small_integers(KINDS, GRADES, IMAGES, len(PAPER_AMOUNTS), seed=3),
        strengths=torch.arange(GRADES).float()[:, None].expand(KINDS, GRADES, IMAGES),
        composed=small_integers(KINDS, KINDS, IMAGES, len(PAPER_AMOUNTS), seed=4),
        noise=small_integers(IMAGES, len(PAPER_AMOUNTS), seed=5) / 64,
        unseen={
            "jpeg": small_integers(GRADES, IMAGES, len(PAPER_AMOUNTS), seed=6),
            "tint": small_integers(GRADES, IMAGES, len(PAPER_AMOUNTS), seed=7),
        },
    )


def perfect_bank(bank: EvaluationBank) -> EvaluationBank:
    """Channel distances that are the true amounts of the draws."""
    drawn = torch.zeros(KINDS, DRAWS, IMAGES, len(PAPER_AMOUNTS))
    for kind in range(KINDS):
        drawn[kind, :, :, kind] = bank.drawn_amounts[kind]
    return EvaluationBank(**{**vars(bank), "drawn": drawn})


def contexts() -> list[Context]:
    texts = ("3,1,5,0,2,4", "4=2,0", "0=1=2,3=4=5", "5,4")
    ranked = [ranking_context(parse_ranking(text, NAMES), NAMES) for text in texts]
    given = importance_context(parse_importances("color=0.25,blur=4,other=0.5", NAMES), NAMES)
    return [*ranked, given]


def distance(amounts: torch.Tensor, context: Context) -> float:
    return sum(
        context.importances[name] * value
        for name, value in zip(PAPER_AMOUNTS, amounts.tolist(), strict=True)
    )


def agreement(close: float, far: float) -> float:
    return 1.0 if close < far else 0.5 if close == far else 0.0


def expected_score(context: Context, measured) -> float:
    """2AFC by its definition; `measured` gives the distance of (kind, draw, image)."""
    scores = []
    for less, more in ranked_pairs(context.order):
        a, b = NAMES.index(less), NAMES.index(more)
        for image in range(IMAGES):
            for draw, other in itertools.product(range(DRAWS), repeat=2):
                scores.append(agreement(measured(a, draw, image), measured(b, other, image)))
    return statistics.fmean(scores)


def scipys(series: list[float]) -> float:
    """scipy's Spearman correlation, with 0 for a constant series, of which it knows none."""
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


def test_two_afc_of_distances_that_are_the_same_in_every_context():
    judged = pair_table(contexts())
    distances = small_integers(1, KINDS, DRAWS, IMAGES, seed=8)
    repeated = two_afc(distances.expand(len(judged), -1, -1, -1), judged)
    torch.testing.assert_close(two_afc(distances, judged), repeated, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_spearman_is_scipys_along_any_dimension(dim):
    distances = small_integers(4, 5, 6, seed=9)
    correlation = spearman(distances, dim)
    series = distances.movedim(dim, -1).flatten(0, -2).tolist()
    expected = torch.tensor([scipys(values) for values in series], dtype=torch.double)
    torch.testing.assert_close(correlation.flatten(), expected, rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("at_once", [1, 4 * KINDS * GRADES * IMAGES])
def test_contexts_may_be_measured_together_or_in_parts(bank, monkeypatch, at_once):
    chosen = random_rankings(11, seeded())
    together = evaluate(Perfect(), bank, chosen)
    monkeypatch.setattr(evaluation, "DISTANCES_AT_ONCE", at_once)
    in_parts = evaluate(Perfect(), bank, chosen)
    # A product of another shape may round differently in its last digit.
    assert in_parts.stability == pytest.approx(together.stability, **CLOSE)
    assert in_parts == dataclasses.replace(together, stability=in_parts.stability)


def test_the_unadapted_head_is_its_own_baseline(bank):
    chosen = random_rankings(6, seeded())
    measures = evaluate_adapted(unadapted_in_contexts(Perfect(), chosen), bank, chosen)
    assert measures.score == measures.baseline
    assert measures.pairs == measures.baseline_pairs
    assert measures.improved == 0
    assert measures.named is None
    assert measures.baseline == evaluate(Perfect(), bank, chosen).baseline


def test_scalars_weigh_the_channels_of_each_context_by_its_own(bank):
    chosen = contexts()[:2]
    weights = small_integers(2, len(PAPER_AMOUNTS), seed=10, low=1)
    measures = evaluate_adapted(scalars_in_contexts(weights), bank, chosen)
    scores = [
        expected_score(context, lambda k, v, m, row=row: float(bank.drawn[k, v, m] @ row))
        for context, row in zip(chosen, weights, strict=True)
    ]
    assert measures.score.mean == pytest.approx(statistics.fmean(scores), **CLOSE)
    assert measures.score.min == pytest.approx(min(scores), **CLOSE)
    # With importances for weights they are the additive head's distances.
    additive = evaluate(Perfect(), bank, chosen)
    same = evaluate_adapted(scalars_in_contexts(importance_table(chosen)), bank, chosen)
    assert same == dataclasses.replace(additive, named=None)


def test_named_is_how_often_the_own_amount_is_the_largest(bank):
    drawn = small_integers(KINDS, DRAWS, IMAGES, len(PAPER_AMOUNTS), seed=11, high=20)
    for kind in range(KINDS):
        drawn[kind, :, :, kind] += 8
    changed = EvaluationBank(**{**vars(bank), "drawn": drawn})
    named = evaluate(Perfect(), changed, contexts()).named
    for kind, name in enumerate(NAMES):
        largest = [
            max(amounts[:kind] + amounts[kind + 1 :]) < amounts[kind]
            for amounts in drawn[kind].flatten(0, 1).tolist()
        ]
        assert 0 < sum(largest) < len(largest)
        assert named[name] == pytest.approx(statistics.fmean(largest), **CLOSE)


def test_a_draw_is_not_named_by_a_tie_nor_by_other(bank):
    assert evaluate(Perfect(), perfect_bank(bank), contexts()).named == dict.fromkeys(NAMES, 1.0)
    for column in (PAPER_AMOUNTS.index(OTHER), 1):
        drawn = perfect_bank(bank).drawn
        drawn[0, :, :, column] = drawn[0, :, :, 0]
        tied = EvaluationBank(**{**vars(bank), "drawn": drawn})
        named = evaluate(Perfect(), tied, contexts()).named
        assert named == {name: float(name != NAMES[0]) for name in NAMES}
    nothing = EvaluationBank(**{**vars(bank), "drawn": torch.zeros_like(bank.drawn)})
    assert evaluate(Perfect(), nothing, contexts()).named == dict.fromkeys(NAMES, 0.0)


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
        expected = statistics.fmean(map(scipys, series))
        assert measures.monotonicity[name] == pytest.approx(expected, abs=1e-9)
    assert set(measures.retention) == set(bank.unseen)
    for name, z in bank.unseen.items():
        series = [
            [distance(z[grade, image], context) for grade in range(GRADES)]
            for image in range(IMAGES)
        ]
        expected = statistics.fmean(map(scipys, series))
        assert measures.retention[name] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, -1.0), (0, 0.0)])
def test_monotonicity_of_rising_falling_and_constant_distances(bank, sign, expected):
    rising = torch.arange(GRADES, dtype=torch.float32)[None, :, None, None]
    graded = (sign * rising + 10).expand(KINDS, GRADES, IMAGES, len(PAPER_AMOUNTS)).contiguous()
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
    context = importance_context(parse_importances(text, NAMES), NAMES)
    measures = evaluate(Perfect(), perfect_bank(bank), [context])
    # In the JSON, unknown values may be missing, but are never NaN or infinite.
    json.dumps(dataclasses.asdict(measures), allow_nan=False)
    assert list(measures.monotonicity) == list(NAMES)


# --- calibration ----------------------------------------------------------------------


def test_calibration_quantiles_are_numpys(bank):
    context, levels = contexts()[0], [0.0, 0.1, 0.5, 0.99, 1.0]
    head = Perfect()
    head.set_importances(context.importances)
    quantiles = calibration_quantiles(head, bank, levels)
    assert list(quantiles) == list(NAMES)
    (importances,) = importance_table([context])
    for kind, name in enumerate(NAMES):
        distances = (bank.drawn[kind] @ importances).double().numpy().ravel()
        np.testing.assert_allclose(quantiles[name], np.quantile(distances, levels), **NUMPY_CLOSE)
