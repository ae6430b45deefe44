"""Contexts: importances, and who should be closer than whom."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_helpers import seeded

from dps_infer.contexts.context import importance_context, ranking_context
from dps_infer.contexts.ranking import (
    KINDS,
    OTHER,
    SIZE,
    parse_importances,
    parse_ranking,
    ranked_pairs,
)
from dps_infer.errors import UsageError
from dps_train.contexts import (
    AMOUNTS,
    PAPER_AMOUNTS,
    all_rankings,
    applied_context,
    importance_table,
    pair_table,
    random_rankings,
)
from dps_train.distortions.paper import NAMES


def judged(context) -> set[tuple[str, str]]:
    (table,) = pair_table([context], NAMES)
    return {(NAMES[less], NAMES[more]) for less, more in table.nonzero().tolist()}


def test_pairs_with_ties_and_unranked_distortions():
    context = ranking_context(parse_ranking("3,1=5,0", NAMES))
    assert judged(context) == {
        ("color", "translate"),
        ("color", "zoom"),
        ("color", "rotate"),
        ("translate", "rotate"),
        ("zoom", "rotate"),
    }


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_pairs_are_those_of_the_ranking(places):
    groups = [
        tuple(name for name, place in zip(NAMES, places, strict=True) if place == wanted)
        for wanted in range(1, 5)
    ]
    ranking = tuple(group for group in groups if group)
    if len(ranking) < 2:
        return
    context = ranking_context(ranking)
    assert judged(context) == set(ranked_pairs(ranking))


def test_contexts_are_rows_of_a_table():
    contexts = all_rankings()[::100]
    together = pair_table(contexts)
    assert together.shape == (len(contexts), len(NAMES), len(NAMES))
    assert together.dtype == torch.bool
    assert torch.equal(together, torch.cat([pair_table([context]) for context in contexts]))


def test_importances_tie_what_is_equal():
    context = importance_context(
        parse_importances("color=0.1,blur=5,zoom=0.1,other=9", NAMES), NAMES
    )
    assert context.ranking is None
    assert context.order == (("rotate", "translate", "darken"), ("color", "zoom"), ("blur",))
    assert ("color", "zoom") not in judged(context)
    assert ("color", "blur") in judged(context)
    assert ("rotate", "color") in judged(context)


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_importances_judge_as_they_compare(values):
    importances = dict(zip(PAPER_AMOUNTS, [*map(float, values), 1.0], strict=True))
    context = importance_context(importances, NAMES)
    assert context.importances == importances
    assert judged(context) == {
        (less, more)
        for less, more in itertools.permutations(NAMES, 2)
        if importances[less] < importances[more]
    }


def test_the_importance_table_has_a_column_an_amount():
    context = importance_context("color=0.25,other=2", NAMES)
    assert (*NAMES, OTHER) == PAPER_AMOUNTS
    assert importance_table([context]).tolist() == [[0, 0, 0, 0.25, 0, 0, 2]]
    assert (*KINDS, OTHER, SIZE) == AMOUNTS
    wide = importance_table([importance_context("blur=3,noise=2,size=5")], AMOUNTS)[0]
    assert {name: value for name, value in zip(AMOUNTS, wide.tolist(), strict=True) if value} == {
        "blur": 3, "noise": 2, "size": 5,
    }  # fmt: skip
    # What a context does not have counts nothing.
    assert importance_table([context], AMOUNTS)[0, -1] == 0


def test_all_rankings_are_all_different():
    rankings = {context.ranking for context in all_rankings()}
    assert len(rankings) == 720
    assert all(len(ranking) == 6 for ranking in rankings)


def test_random_rankings_are_different_ones_and_seeded():
    chosen = [context.ranking for context in random_rankings(50, seeded(1))]
    assert len(set(chosen)) == 50
    assert chosen == [context.ranking for context in random_rankings(50, seeded(1))]
    assert chosen != [context.ranking for context in random_rankings(50, seeded(2))]
    assert len({context.ranking for context in random_rankings(720, seeded())}) == 720


# --- kinds that a training does not apply ---------------------------------------------


@pytest.mark.parametrize(
    ("ranking", "importances"),
    [
        ("color,blur", {"color": 0.4, "blur": 1.0, "zoom": 0.4**0.5, OTHER: 0.4**0.5}),
        ("color,*,blur", {"color": 0.16, "blur": 1.0, "zoom": 0.4, OTHER: 0.4}),
        ("other,blur", {"color": 0.4**0.5, "blur": 1.0, OTHER: 0.4}),
    ],
)
def test_a_ranking_of_applied_distortions_is_one_of_these_alone(ranking, importances):
    applied = applied_context(ranking_context(ranking), NAMES)
    assert tuple(applied.importances) == PAPER_AMOUNTS
    for name, value in importances.items():
        assert applied.importances[name] == pytest.approx(value), name


def test_the_rest_of_a_ranking_stands_in_its_place():
    context = applied_context(ranking_context("color,*,blur"), NAMES)
    assert {("color", "zoom"), ("rotate", "blur"), ("color", "blur")} <= judged(context)
    assert ("rotate", "zoom") not in judged(context)
    assert len(judged(context)) == 2 * 4 + 1


def test_importances_of_applied_distortions_stay():
    context = applied_context(importance_context("color=0.25,other=2"), NAMES)
    assert context.importances == {**dict.fromkeys(NAMES, 0.0), "color": 0.25, OTHER: 2.0}


@pytest.mark.parametrize(
    "context",
    [
        ranking_context("noise,blur"),
        importance_context("noise=1,blur=2"),
        importance_context("size=1"),
    ],
    ids=["ranking", "importances", "size"],
)
def test_kinds_that_are_not_applied_are_refused(context):
    with pytest.raises(UsageError, match=r"(noise|size): .*--variant additive"):
        applied_context(context, NAMES)
