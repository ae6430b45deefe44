"""Results in words: few digits, and no false impression."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from infer_helpers import VIEWS, make_manifest

from dps_infer.compare.pairs import Comparison
from dps_infer.show.context_file import describe_manifest
from dps_infer.show.records import comparison_record
from dps_infer.show.words import apportion, describe, formula, standing

parts = st.lists(st.floats(0, 1e4), min_size=1, max_size=7).filter(lambda drawn: sum(drawn) > 0)


def comparison(*values: float, distance: float | None = None, identical=False) -> Comparison:
    named = {f"part{index}": value for index, value in enumerate(values)}
    total = sum(values) if distance is None else distance
    return Comparison(
        distance=total,
        amounts=named,
        parts=named,
        percentiles={"blur": 0.94, "rotate": 0.31},
        identical=identical,
        notes=("a.png: 16-bit samples scaled to 8-bit",),
        provider="CPUExecutionProvider",
    )


def test_the_example_of_the_readme():
    result = Comparison(
        distance=0.81,
        amounts={},
        parts={"color": 0.0512, "blur": 0.7388, "zoom": 0.0011, "other": 0.0189},
        percentiles={},
        identical=False,
        notes=(),
        provider="",
    )
    assert formula(result) == "0.81 = blur 0.74 + color 0.05 + other 0.02"


def test_nothing_is_said_in_words():
    assert formula(comparison(0.0, identical=True)) == "0 (identical images)"
    assert formula(comparison(0.0)) == "0 (this context sees no difference)"
    assert formula(comparison(3e-8)) == "3.0e-08 (next to nothing)"


def test_a_distance_without_parts_stands_alone():
    assert formula(comparison(distance=0.5)) == "0.50"


@given(parts)
def test_printed_parts_add_up_and_stay_near_the_truth(values):
    result = comparison(*values)
    assume(result.distance > 1e-6)
    total, _, sums = formula(result).partition(" = ")
    printed = {name: Decimal(value) for name, value in re.findall(r"(part\d) ([\d.]+)", sums)}
    last_digit = Decimal(1).scaleb(Decimal(total).as_tuple().exponent)
    assert sum(printed.values()) == Decimal(total)
    assert abs(Decimal(total) - Decimal(result.distance)) <= last_digit / 2
    assert list(printed.values()) == sorted(printed.values(), reverse=True)
    for name, value in result.parts.items():
        assert abs(printed.get(name, Decimal(0)) - Decimal(value)) <= last_digit * Decimal("1.51")


@given(st.integers(0, 10**6), parts)
def test_apportion_gives_everything_away_fairly(units, values):
    shares = apportion(units, values)
    assert sum(shares) == units
    assert min(shares) >= 0
    order = sorted(range(len(values)), key=values.__getitem__)
    for less, more in pairwise(order):
        assert shares[less] <= shares[more] or values[less] == values[more]


near = st.floats(0, 0.002)


@given(st.floats(1e-9, 100), near, st.booleans())
def test_rounding_never_crosses_the_threshold(distance, relative, above):
    threshold = distance * (1 - relative if above else 1 + relative)
    printed = formula(comparison(distance), threshold=threshold).split()[0]
    assert (Decimal(printed) > Decimal(repr(threshold))) == (distance > threshold)


def test_a_close_call_shows_its_digits():
    assert formula(comparison(0.5004), threshold=0.5) == "0.5004 = part0 0.5004"
    assert formula(comparison(0.4996), threshold=0.5) == "0.50 = part0 0.50"
    assert formula(comparison(0.5), threshold=0.5) == "0.50 = part0 0.50"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (
            {"rotate": 0.31, "blur": 0.94},
            "more different than 94 % of blurs and 31 % of rotations",
        ),
        (
            {"translate": 1.0, "blur": 0.999, "zoom": 0.001, "color": 0.0},
            "more different than all shifts, over 99 % of blurs, under 1 % of zooms and none of "
            "the color changes",
        ),
        (
            {"blur": 0.0, "darken": 0.0},
            "less different than all blurs and darkenings of its calibration",
        ),
        (
            {"blur": 1.0, "tint": 1.0},
            "more different than all blurs and tint changes of its calibration",
        ),
    ],
)
def test_standing(shares, expected):
    assert standing(shares) == expected


def test_description(context):
    lines = describe(comparison(0.5, 0.25), context, threshold=0.6)
    assert lines == [
        "0.75 = part0 0.50 + part1 0.25",
        "more different than 94 % of blurs and 31 % of rotations",
        "context fake: color < rotate < blur (blur matters most)",
        "above the threshold 0.6",
    ]
    assert describe(comparison(0.5), context, threshold=1.0)[-1] == "not above the threshold 1"


def test_a_universal_file_is_described_by_the_context_that_it_was_given(universal):
    line = describe(comparison(0.5), universal)[-1]
    assert line == "context universal: color < rotate < blur (blur matters most)"
    line = describe(comparison(0.5), universal.in_context(importances={"blur": 5, "color": 0.1}))[
        -1
    ]
    assert line == "context universal: importances color=0.1,blur=5"


@given(st.floats(0, 1e6, width=32))
def test_records_keep_every_digit(context, distance):
    result = comparison(distance)
    written = comparison_record(result, context, "a", "b", threshold=0.1)
    read = json.loads(json.dumps(written))
    assert read["context"].pop("ranking") == [["color"], ["rotate"], ["blur"]]
    written["context"].pop("ranking")
    assert read == written
    assert read["context"]["importances"] == context.importances
    assert read["context"]["sha256"] == context.sha256
    assert read["distance"] == distance
    assert read["above"] == (distance > 0.1)
    assert read["notes"] == ["a.png: 16-bit samples scaled to 8-bit"]


def test_the_manifest_for_people_names_what_matters():
    text = "\n".join(describe_manifest(make_manifest(), name="a.onnx", sha256="abc"))
    for word in ("a.onnx", "abc", "blur matters most", "licence", "noise ceiling", "0.125"):
        assert word in text


def test_the_universal_manifest_for_people_names_its_views_and_no_importances():
    manifest = make_manifest(universal=True, views=True)
    text = "\n".join(describe_manifest(manifest, name="a.onnx", sha256="abc"))
    for word in ("given at run time", "default: both", "4 pixels", VIEWS.layout, VIEWS.aggregation):
        assert word in text
    assert "importance" not in text
