"""Contexts: importances, and who should be closer than whom."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st
from train_helpers import seeded

from dps_infer.contexts.context import importance_context, ranking_context
from dps_infer.contexts.ranking import parse_importances, parse_ranking, ranked_pairs
from dps_train.contexts import AMOUNTS, all_rankings, importance_table, pair_table, random_rankings
from dps_train.distortions.paper import NAMES


def judged(context) -> set[tuple[str, str]]:
    (table,) = pair_table([context])
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
    context = importance_context(parse_importances("color=0.1,blur=5,zoom=0.1,other=9", NAMES))
    assert context.ranking is None
    assert context.order == (("rotate", "translate", "darken"), ("color", "zoom"), ("blur",))
    assert ("color", "zoom") not in judged(context)
    assert ("color", "blur") in judged(context)
    assert ("rotate", "color") in judged(context)


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_importances_judge_as_they_compare(values):
    importances = dict(zip(AMOUNTS, [*map(float, values), 1.0], strict=True))
    context = importance_context(importances)
    assert context.importances == importances
    assert judged(context) == {
        (less, more)
        for less, more in itertools.permutations(NAMES, 2)
        if importances[less] < importances[more]
    }


def test_the_importance_table_has_a_column_an_amount():
    context = importance_context(parse_importances("color=0.25,other=2", NAMES))
    assert (*NAMES, "other") == AMOUNTS
    assert importance_table([context]).tolist() == [[0, 0, 0, 0.25, 0, 0, 2]]


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
