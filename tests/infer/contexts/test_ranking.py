"""Rankings and importances, as people write them and as the head reads them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dps_infer.contexts.ranking import (
    IMPORTANCE_RATIO,
    OTHER,
    REST,
    SIZE,
    check_importances,
    check_ranking,
    describe_ranking,
    format_importances,
    format_ranking,
    parse_importances,
    parse_ranking,
    ranked_pairs,
    ranking_importances,
    without_rest,
)
from dps_infer.errors import RankingError, UsageError

NAMES = ("rotate", "translate", "darken", "color", "blur", "zoom")


@st.composite
def rankings(draw: st.DrawFn) -> tuple[tuple[str, ...], ...]:
    """Two to six of the six, in any order, cut into at least two tied groups."""
    listed = draw(st.permutations(NAMES))[: draw(st.integers(2, len(NAMES)))]
    cuts = draw(st.sets(st.integers(1, len(listed) - 1), min_size=1))
    ends = [0, *sorted(cuts), len(listed)]
    return tuple(tuple(listed[start:end]) for start, end in itertools.pairwise(ends))


importance = st.just(0.0) | st.floats(1e-9, 1e9)
importances = st.fixed_dictionaries({name: importance for name in (*NAMES, OTHER)}).filter(
    lambda values: any(values.values())
)


def refusal(function, text: str) -> str:
    """The message of the error that `text` must give: one line, the exit code of usage."""
    with pytest.raises(RankingError) as caught:
        function(text, NAMES)
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert message.isprintable()
    return message


def result_of(function, text: str):
    """The parsed text; None if it is refused, which must take one line."""
    try:
        return function(text, NAMES)
    except RankingError as error:
        message = str(error)
    assert message.isprintable()
    return None


# --- rankings -------------------------------------------------------------------------


@given(rankings())
def test_what_is_written_is_read_back(ranking):
    assert parse_ranking(format_ranking(ranking), NAMES) == ranking


@given(rankings(), st.data())
def test_numbers_names_case_and_blanks_are_all_understood(ranking, data):
    def written(name: str) -> str:
        forms = st.sampled_from([name, name.upper(), name.title(), str(NAMES.index(name))])
        blanks = st.sampled_from(["", " ", "  ", "\t"])
        return data.draw(blanks) + data.draw(forms) + data.draw(blanks)

    text = ",".join("=".join(written(name) for name in group) for group in ranking)
    assert parse_ranking(text, NAMES) == ranking


def test_the_ranking_of_the_paper_lists_the_least_disruptive_first():
    expected = (("color",), ("translate",), ("zoom",), ("rotate",), ("darken",), ("blur",))
    assert parse_ranking("3,1,5,0,2,4", NAMES) == expected
    assert describe_ranking(expected) == (
        "color < translate < zoom < rotate < darken < blur (blur matters most)"
    )


def test_ties_are_described():
    ranking = parse_ranking("3=1,5=0", NAMES)
    assert (
        describe_ranking(ranking)
        == "color = translate < zoom = rotate (zoom and rotate matter most)"
    )


@given(rankings(), st.data())
def test_a_repeated_distortion_is_refused_by_name(ranking, data):
    name = data.draw(st.sampled_from([name for group in ranking for name in group]))
    joint = data.draw(st.sampled_from([",", "="]))
    repeated = data.draw(st.sampled_from([name, str(NAMES.index(name))]))
    message = refusal(parse_ranking, format_ranking(ranking) + joint + repeated)
    assert f"{name} appears 2 times" in message


@given(st.text())
def test_any_text_is_a_ranking_or_refused_in_one_line(text):
    ranking = result_of(parse_ranking, text)
    if ranking is not None:
        assert len(ranking) >= 2
        assert check_ranking(ranking, NAMES) == ranking


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("color,blurr", "did you mean blur?"),
        ("colour,blur", "did you mean color?"),
        ("roatte,blur", "did you mean rotate?"),
        ("3,6", "'6'"),
        ("3,-1", "'-1'"),
        ("3,1.0", "'1.0'"),
        ("3,\u0663", "unknown distortion"),
        ("3,\u00b2", "unknown distortion"),
        ("3,sharpen", "0 rotate, 1 translate, 2 darken, 3 color, 4 blur, 5 zoom, other"),
        ("3,6", "expected one of 0 rotate"),
        ("3,size", "unknown distortion 'size'"),
        ("*,3,*", "* appears 2 times"),
        ("3=*", "at least two distortions, got color=*"),
        ("*", "at least two distortions, got *"),
        ("3,**", "unknown distortion '**'"),
        ("other,3,OTHER", "other appears 2 times"),
        ("", "unknown distortion ''"),
        (" ", "unknown distortion ''"),
        ("3,", "unknown distortion ''"),
        (",3", "unknown distortion ''"),
        ("3,,1", "unknown distortion ''"),
        ("3=,1", "unknown distortion ''"),
        ("3;1", "'3;1'"),
        ("3 1", "'3 1'"),
        ("3,1\nblur", "unknown distortion"),
        ("3", "at least two distortions, got color"),
        ("3=1", "at least two distortions, got color=translate"),
        ("3=3", "color appears 2 times"),
    ],
)
def test_bad_rankings(text, message):
    assert message in refusal(parse_ranking, text)


def test_a_number_of_any_length_is_an_unknown_distortion():
    # Python refuses to turn more than 4300 digits into a number.
    assert "unknown distortion" in refusal(parse_ranking, "3," + "9" * 5000)


def test_nothing_like_a_distortion_gives_no_guess():
    assert "did you mean" not in refusal(parse_ranking, "3,qqqq")


def test_check_ranking_refuses_what_parsing_would():
    for groups, message in [
        ((("color",), ("colour",)), "unknown distortion 'colour'"),
        ((("color",), ("color",)), "color appears 2 times"),
        ((("color", "blur"),), "at least two"),
        ((), "got none"),
    ]:
        with pytest.raises(RankingError, match=message):
            check_ranking(groups, NAMES)


# --- the rest, and other ----------------------------------------------------------------


@st.composite
def rankings_with_a_rest(draw: st.DrawFn) -> tuple[tuple[str, ...], ...]:
    """A ranking in which `*`, and perhaps `other`, have a place."""
    groups = [list(group) for group in draw(rankings())]
    for name in draw(st.sampled_from([[REST], [REST, OTHER], [OTHER]])):
        place = draw(st.integers(0, len(groups)))
        if place < len(groups) and draw(st.booleans()):
            groups[place].append(name)
        else:
            groups.insert(place, [name])
    return tuple(tuple(group) for group in groups)


@given(rankings_with_a_rest())
def test_a_rest_is_read_back(ranking):
    assert parse_ranking(format_ranking(ranking), NAMES) == ranking


@given(rankings_with_a_rest())
def test_each_kind_counts_as_its_place_and_unnamed_ones_as_the_rest(ranking):
    values = ranking_importances(ranking, NAMES)
    last = len(ranking) - 1
    places = {name: place for place, group in enumerate(ranking) for name in group}
    between = math.sqrt(IMPORTANCE_RATIO**-last)
    rest = IMPORTANCE_RATIO ** (places[REST] - last) if REST in places else between
    assert list(values) == [*NAMES, OTHER]
    for name, value in values.items():
        expected = IMPORTANCE_RATIO ** (places[name] - last) if name in places else rest
        assert value == pytest.approx(expected, rel=1e-12), name


@given(rankings_with_a_rest())
def test_the_rest_is_every_kind_that_has_no_place_of_its_own(ranking):
    groups = without_rest(ranking, NAMES)
    listed = [name for group in groups for name in group]
    named = {name for group in ranking for name in group} - {REST}
    expected = {*NAMES, OTHER} if any(REST in group for group in ranking) else named
    assert REST not in listed
    assert sorted(listed) == sorted(expected)
    values = ranking_importances(ranking, NAMES)
    for less, more in ranked_pairs(groups):
        assert values[less] < values[more]


def test_a_rest_that_stands_for_nothing_keeps_the_other_places():
    every = ",".join((*NAMES, OTHER))
    values = ranking_importances(parse_ranking(f"{every},*", NAMES), NAMES)
    # The place of `*` counts although nothing is on it.
    assert values[OTHER] == pytest.approx(1 / IMPORTANCE_RATIO)
    assert without_rest(parse_ranking(f"{every},*", NAMES), NAMES) == tuple(
        (name,) for name in (*NAMES, OTHER)
    )


def test_a_rest_is_described():
    ranking = parse_ranking("color, * ,other=blur", NAMES)
    assert ranking == (("color",), ("*",), ("other", "blur"))
    assert describe_ranking(ranking) == "color < * < other = blur (other and blur matter most)"


def test_a_number_stands_for_no_other():
    assert "unknown distortion '6'" in refusal(parse_ranking, "3,6")


# --- pairs ----------------------------------------------------------------------------


@given(rankings())
def test_pairs_are_those_of_different_places(ranking):
    pairs = ranked_pairs(ranking)
    place = {name: number for number, group in enumerate(ranking) for name in group}
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {
        (less, more) for less in place for more in place if place[less] < place[more]
    }
    untied = math.comb(len(place), 2) - sum(math.comb(len(group), 2) for group in ranking)
    assert len(pairs) == untied


# --- importances of a ranking ---------------------------------------------------------


@given(rankings())
def test_importances_follow_the_ranking(ranking):
    values = ranking_importances(ranking, NAMES)
    assert list(values) == [*NAMES, OTHER]
    assert all(value > 0 for value in values.values())
    for less, more in ranked_pairs(ranking):
        assert values[less] < values[more]
    for group in ranking:
        assert len({values[name] for name in group}) == 1
    assert {values[name] for name in ranking[-1]} == {1.0}
    listed = {name for group in ranking for name in group}
    lowest, highest = values[ranking[0][0]], values[ranking[-1][0]]
    for name in {*NAMES, OTHER} - listed:
        assert lowest < values[name] < highest
        assert values[name] == pytest.approx(math.sqrt(lowest * highest), rel=1e-15)


@given(rankings())
def test_every_place_counts_the_same_times_more(ranking):
    values = ranking_importances(ranking, NAMES)
    steps = [values[later[0]] / values[group[0]] for group, later in itertools.pairwise(ranking)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-15)


def order(values: dict[str, float], one: str, other: str) -> int:
    """-1, 0 or 1: how the importance of one compares with the other's."""
    return (values[one] > values[other]) - (values[one] < values[other])


def without(ranking: tuple[tuple[str, ...], ...], name: str) -> tuple[tuple[str, ...], ...]:
    """The ranking with a name left out, and its place if that becomes empty."""
    groups = (tuple(other for other in group if other != name) for group in ranking)
    return tuple(group for group in groups if group)


def assert_same_order(ranking, changed, but: set[str]) -> None:
    """The ranked ones but some compare with each other as they did."""
    before, after = (ranking_importances(one, NAMES) for one in (ranking, changed))
    others = {name for group in ranking for name in group} - but
    for one, other in itertools.permutations(others, 2):
        assert order(before, one, other) == order(after, one, other)


@given(rankings(), st.data())
def test_leaving_one_out_changes_no_order_of_the_others(ranking, data):
    name = data.draw(st.sampled_from([name for group in ranking for name in group]))
    rest = without(ranking, name)
    assume(len(rest) > 1)
    assert_same_order(ranking, rest, {name})


@given(rankings(), st.data())
def test_tying_two_changes_no_order_of_the_others(ranking, data):
    names = [name for group in ranking for name in group]
    one, other = data.draw(st.permutations(names))[:2]
    tied = tuple((*group, one) if other in group else group for group in without(ranking, one))
    assume(len(tied) > 1)
    assert order(ranking_importances(tied, NAMES), one, other) == 0
    assert_same_order(ranking, tied, {one})


# --- importances given directly -------------------------------------------------------


@given(importances)
def test_given_importances_are_read_back(values):
    text = ",".join(f"{name}={value!r}" for name, value in values.items())
    assert parse_importances(text, NAMES) == values


@given(importances)
def test_importances_as_numbers_are_those_as_text(values):
    text = ",".join(f"{name}={value!r}" for name, value in values.items())
    assert check_importances(values, NAMES) == parse_importances(text, NAMES)
    some = {name: value for name, value in values.items() if value}
    completed = check_importances(some, NAMES)
    assert completed == values
    assert list(completed) == [*NAMES, OTHER]


@given(importances)
def test_written_importances_are_read_back_exactly(values):
    assert parse_importances(format_importances(values), NAMES) == values


def test_what_is_not_named_does_not_count():
    values = parse_importances(" Color = 0.1, 4 =5,OTHER=2e-1", NAMES)
    assert values == {
        "rotate": 0, "translate": 0, "darken": 0, "color": 0.1, "blur": 5, "zoom": 0, "other": 0.2,
    }  # fmt: skip
    assert list(values) == [*NAMES, OTHER]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("color=-1", "the importance of color is '-1'"),
        ("color=nan", "from 1e-09 to 1e+09"),
        ("color=inf", "from 1e-09 to 1e+09"),
        ("color=-inf", "from 1e-09 to 1e+09"),
        ("color=1e999", "from 1e-09 to 1e+09"),
        ("color=", "the importance of color is ''"),
        ("color=much", "'much'"),
        ("color=1=2", "'1=2'"),
        ("color=0x10", "'0x10'"),
        ("color=1,color=2", "color appears twice"),
        ("color=1,3=2", "color appears twice"),
        ("color=0,color=1", "color appears twice"),
        ("colour=1", "did you mean color?"),
        ("othr=1", "did you mean other?"),
        ("6=1", "unknown distortion '6'"),
        ("=1", "unknown distortion ''"),
        ("color=0", "every importance is 0"),
        ("color=0,blur=0.0,other=0", "every importance is 0"),
        ("color=-0.0", "every importance is 0"),
        ("color", "'color' is no importance"),
        ("color=1,blur", "'blur' is no importance"),
        ("", "'' is no importance"),
        ("color=1,", "'' is no importance"),
    ],
)
def test_bad_importances(text, message):
    assert message in refusal(parse_importances, text)


def test_the_size_counts_where_it_is_given_and_only_there():
    values = parse_importances("size=2,blur=0.5", NAMES)
    assert values == {**dict.fromkeys((*NAMES, OTHER), 0.0), "blur": 0.5, "size": 2.0}
    assert list(values) == [*NAMES, OTHER, SIZE]
    assert SIZE not in parse_importances("size=0,blur=1", NAMES)
    assert check_importances({"size": 1}, NAMES)[SIZE] == 1
    assert "importance of size" in refusal(parse_importances, "size=-1")
    assert "size appears twice" in refusal(parse_importances, "size=1,size=1")


@pytest.mark.parametrize("value", ["1e39", "1e300"])
def test_importances_beyond_float32_are_refused(value):
    # The head and the context file hold importances in float32, where these are infinite.
    assert "color" in refusal(parse_importances, f"color={value},blur=1")


def test_importances_that_float32_rounds_to_zero_are_refused():
    refusal(parse_importances, "color=1e-60")


@given(st.text())
def test_any_text_is_importances_or_refused_in_one_line(text):
    for guess in (text, f"color={text}"):
        values = result_of(parse_importances, guess)
        if values is not None:
            assert all(math.isfinite(value) and value >= 0 for value in values.values())
            assert any(values.values())
