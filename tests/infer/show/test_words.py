"""Results in words: few digits, and no false impression."""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from infer_helpers import make_manifest

from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.ranking import KINDS
from dps_infer.model.anchors import Anchor
from dps_infer.show.context_file import describe_manifest
from dps_infer.show.phrases import kind_words
from dps_infer.show.records import comparison_record
from dps_infer.show.words import anchor_words, apportion, describe, formula, standing

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
    assert (
        formula(result)
        == "0.81 = 0.74 softer or sharper + 0.05 other hues + 0.02 changed otherwise"
    )


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
    printed = {name: Decimal(value) for value, name in re.findall(r"([\d.]+) (part\d)", sums)}
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
    assert formula(comparison(0.5004), threshold=0.5) == "0.5004 = 0.5004 part0"
    assert formula(comparison(0.4996), threshold=0.5) == "0.50 = 0.50 part0"
    assert formula(comparison(0.5), threshold=0.5) == "0.50 = 0.50 part0"


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
        "0.75 = 0.50 part0 + 0.25 part1",
        "more different than 94 % of blurs and 31 % of rotations",
        "context fake: color < rotate < blur (blur matters most)",
        "above the threshold 0.6",
    ]
    assert describe(comparison(0.5), context, threshold=1.0)[-1] == "not above the threshold 1"


@pytest.mark.parametrize(
    ("name", "direction", "strength", "words"),
    [
        ("rotate", 0.9, 2.04, "turned clockwise by about 2 degrees"),
        ("rotate", -0.9, 37.4, "turned counterclockwise by about 37 degrees"),
        # A direction that is not clear is not named; the strength is.
        ("rotate", 0.1, 0.432, "turned by about 0.43 degrees"),
        ("rotate", None, None, "turned"),
        ("translate", None, 12.3, "shifted by about 12 px"),
        ("zoom", 1.0, 4.0, "larger by about 4 %"),
        ("zoom", -1.0, 4.0, "smaller by about 4 %"),
        ("darken", 0.3, None, "darker"),
        ("darken", -0.3, None, "brighter"),
        ("darken", 0.29, None, "darker or brighter"),
        ("blur", 1.0, 1.25, "softer (about sigma 1.2 px)"),
        # The sigma of a blur is none of a sharpening, nor of what is neither.
        ("blur", -1.0, 1.25, "sharper"),
        ("blur", 0.0, 1.25, "softer or sharper"),
        ("noise", 1.0, 12.6, "noisier (about sigma 13 of 255)"),
        ("noise", -1.0, 12.6, "cleaner"),
        ("compression", None, 35.2, "compressed (about JPEG quality 35)"),
        ("contrast", 1.0, None, "more contrast"),
        ("saturation", -1.0, None, "less saturated"),
        ("mirror", None, None, "mirrored"),
        ("other", None, None, "changed otherwise"),
        # A distortion of one's own is called by its name.
        ("scratch", None, None, "scratch"),
    ],
)
def test_kinds_are_called_by_direction_and_strength(name, direction, strength, words):
    result = dataclasses.replace(
        comparison(0.5),
        amounts={name: 0.5},
        parts={name: 0.5},
        directions={} if direction is None else {name: direction},
        strengths={} if strength is None else {name: strength},
    )
    assert kind_words(name, result) == words
    alone = "0.50" if name == "other" else f"0.50 = 0.50 {words}"
    assert formula(result) == alone
    plain = re.sub(r" (by about .*|\(about .*\))", "", words)
    assert kind_words(name, result, strength=False) == plain


def test_every_kind_has_words_of_its_own():
    result = comparison(0.5)
    called = {name: kind_words(name, result) for name in (*KINDS, "other")}
    assert len({*called.values()}) == len(called)
    # Only noise is called by the very name that it has in a ranking.
    assert [name for name, words in called.items() if words == name] == ["noise"]


NEAR, BELOW, ABOVE = Anchor("JPEG quality", 35.2, 0), -1, 1


@pytest.mark.parametrize(
    ("anchors", "words"),
    [
        ([NEAR], "about as different as JPEG quality 35 of a typical photograph"),
        (
            [Anchor("darkening by percent", 23.7, 0)],
            "about as different as darkening by 24 percent of a typical photograph",
        ),
        (
            [NEAR, Anchor("blur of sigma", 0.4, BELOW), Anchor("noise of sigma", 3.14, 0)],
            "about as different as JPEG quality 35 or noise of sigma 3.1 of a typical photograph",
        ),
        (
            [Anchor("shift of pixels", 123.4, 0)],
            "about as different as shift of pixels 120 of a typical photograph",
        ),
        (
            [Anchor("JPEG quality", 5.0, ABOVE), Anchor("blur of sigma", 0.4, BELOW)],
            "more different than JPEG quality 5 of a typical photograph",
        ),
        (
            [Anchor("JPEG quality", 97.0, BELOW), Anchor("blur of sigma", 0.4, BELOW)],
            "less different than JPEG quality 97 and blur of sigma 0.4 of a typical photograph",
        ),
    ],
)
def test_distances_beside_known_changes(context, anchors, words):
    assert anchor_words(anchors) == words
    result = dataclasses.replace(comparison(0.5), anchors=tuple(anchors))
    assert words in describe(result, context)
    assert words not in describe(dataclasses.replace(result, distance=0.0), context)


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


def test_records_hold_size_strengths_directions_and_anchors(context, photo):
    result = context.compare(photo, photo // 2)
    read = json.loads(json.dumps(comparison_record(result, context, "a", "b")))
    assert read["size"] == result.size > 0
    assert read["strengths"] == result.strengths != {}
    assert read["directions"] == {"rotate": -1.0, "blur": -1.0}
    (anchor,) = result.anchors
    assert read["anchors"] == {"JPEG quality": {"value": anchor.value, "beyond": anchor.beyond}}
    assert "view" not in read


def test_the_manifest_for_people_names_what_matters():
    text = "\n".join(describe_manifest(make_manifest(), name="a.onnx", sha256="abc"))
    for word in ("a.onnx", "abc", "blur matters most", "licence", "noise ceiling", "0.125"):
        assert word in text


def test_the_manifest_for_people_names_units_and_directions():
    lines = describe_manifest(make_manifest(), name="a.onnx", sha256="abc")
    cells = [re.split(" {2,}", line) for line in lines]
    assert ["blur", "pixels of sigma", "softer or sharper", "strength 0 to 1"] in cells
    assert ["darken", "strength 0 to 1"] in cells
    assert ["mirror"] in cells


def test_the_universal_manifest_for_people_names_no_importances():
    manifest = make_manifest(universal=True)
    text = "\n".join(describe_manifest(manifest, name="a.onnx", sha256="abc"))
    assert "given at run time" in text
    assert "importance" not in text
