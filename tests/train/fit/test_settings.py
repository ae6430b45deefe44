"""Settings of a training: defaults that follow from others, and combinations that are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dps_infer.contexts.context import importance_context, ranking_context
from dps_infer.errors import UsageError
from dps_train.fit.settings import PAIRS, PAIRS_WITH_CUSTOM, Settings
from dps_train.model.comparisons import COMPARISONS
from dps_train.model.names import COMPARISONS as NAMES

CONTEXT = ranking_context("3,1=5,0")
FUNCTION = SimpleNamespace(name="grain", recording=None)
RECORDED = SimpleNamespace(name="denoiser", recording="images before and after")


@pytest.mark.parametrize(
    ("options", "embedded", "pairs"),
    [
        ({}, True, PAIRS["embedded"]),
        ({"size": 32}, False, PAIRS["scratch"]),
        ({"comparison": "spatial"}, False, PAIRS["scratch"]),
        ({"start": "scratch"}, False, PAIRS["scratch"]),
        ({"variant": "lin"}, False, PAIRS["scratch"]),
        ({"custom": (FUNCTION,)}, True, PAIRS_WITH_CUSTOM),
        ({"custom": (FUNCTION,), "pairs": 500}, True, 500),
    ],
)
def test_the_start_and_the_size_of_the_bank(options, embedded, pairs):
    settings = Settings(context=CONTEXT, **options)
    settings.check()
    assert (settings.from_embedded, settings.bank_pairs) == (embedded, pairs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "lin", "start": "scratch"}, "--from is for --variant additive, not lin"),
        ({"start": "embedded", "size": 32}, "--from embedded starts from a metric"),
        ({"judgements": Path(__file__), "size": 32}, "has not learned any amounts"),
        ({"variant": "lin", "logger": "csv"}, "--logger is for --variant tune and scratch"),
        ({"resume": True}, "--resume is for --variant tune and scratch, not additive"),
        ({"variant": "tune", "custom": (FUNCTION,)}, "--variant tune cannot learn grain"),
        ({"variant": "lin", "custom": (RECORDED,)}, "--variant lin cannot learn denoiser"),
        (
            {"variant": "lin", "custom": (FUNCTION,), "judgements": Path(__file__)},
            "--variant lin cannot learn grain",
        ),
        ({"comparison": "spatial+fancy"}, "--comparison names 'fancy'"),
        ({"data": "no/such/folder"}, "no/such/folder is not a folder"),
        ({"test_data": "no/such/folder"}, "no/such/folder is not a folder"),
        ({"judgements": Path("none.csv")}, "none.csv: no such file"),
    ],
)
def test_combinations_that_are_refused(options, message):
    with pytest.raises(UsageError, match=message.replace("+", r"\+")):
        Settings(**options).check()


def test_functions_can_be_learned_by_lin():
    Settings(context=CONTEXT, variant="lin", custom=(FUNCTION,)).check()


def test_runs_are_named_by_their_context_or_judgements():
    assert Settings(context=CONTEXT).label == "color-translate~zoom-rotate"
    assert Settings(context=CONTEXT, variant="lin").label == "lin-color-translate~zoom-rotate"
    assert Settings(context=importance_context("blur=5,color=0.1")).label == "color-0.1_blur-5"
    assert Settings(judgements=Path("here/people.csv")).label == "people"


def test_a_run_records_the_settings_of_its_variant():
    additive = Settings(context=CONTEXT, epochs=3).record()
    assert additive == {"normalize": "imagenet", "pairs": PAIRS["embedded"], "epochs": 3}
    tune = Settings(context=CONTEXT, variant="tune", steps=7, epochs=3).record()
    assert tune == {
        "normalize": "imagenet",
        "steps": 7,
        "precision": "32-true",
        "objective": "pairwise",
    }
    assert Settings(context=CONTEXT, variant="baseline").record() == {"normalize": "imagenet"}


def test_every_comparison_has_a_name():
    assert tuple(COMPARISONS) == NAMES
