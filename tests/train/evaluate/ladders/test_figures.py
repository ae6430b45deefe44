"""The figures, against closed forms and scipy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats
from ladder_helpers import BrightnessTarget

from dps_train.evaluate.ladders import figures
from dps_train.evaluate.ladders.changes import geometry
from dps_train.evaluate.ladders.kinds import KINDS, MEDIUM, Kind
from dps_train.evaluate.ladders.measuring import Climbed, climb
from dps_train.evaluate.ladders.photographs import Photograph
from dps_train.evaluate.ladders.summary import context_figures, group_summaries, kind_figures
from dps_train.evaluate.pair_contexts import Group, PairContext
from dps_train.evaluate.pair_target import PairTarget

MEANS = (40.0, 60.0, 100.0, 120.0)


def test_order_is_spearmans():
    distances = np.random.default_rng(0).integers(0, 5, (3, 6, 7)).astype(float)
    found = figures.order(distances)
    for place in np.ndindex(3, 6):
        expected = scipy.stats.spearmanr(distances[place], range(7)).statistic
        assert found[place] == pytest.approx(expected, abs=1e-12)


def test_ratios_to_nothing_are_finite():
    zeros, some = np.zeros((10, 1)), np.ones((10, 1))
    assert figures.evenness(zeros).tolist() == [1]
    some[:3] = 0
    assert figures.evenness(some).tolist() == [figures.LARGEST_RATIO]


def test_directions_and_strengths():
    assert figures.right_direction(np.array([0.2, 0.1, -0.1, 0.0]), 1) == 0.5
    assert figures.strength_error(np.array([-1.5, 2.0, 2.2]), 2.0) == pytest.approx(0.1)


# --- a metric whose distances are known -----------------------------------------------


def flat(photograph: Photograph, step: float) -> np.ndarray:
    return (photograph.pixels.astype(float) + step).astype(np.uint8)


DOWN = Kind("down", "levels", (-1, -2, -3, -4, -5, -6, -7), flat, "darken", 1)
UP = Kind("up", "levels", (1, 2, 3, 4, 5, 6, 7), flat, "darken", -1)
BACK = Kind("back", "levels", (7, 6, 5, 4, 3, 2, 1), flat)
AWRY = Kind("awry", "levels", (-1, -2, -3, 4, 5, 6, 7), flat, "darken")
MOVED = dataclasses.replace(DOWN, name="moved", cropped=True, change=lambda photograph, step: (
    geometry.middle(flat(photograph, step))
))  # fmt: skip
FAKES = (DOWN, UP, BACK, AWRY)
CONTEXTS = [
    PairContext("general", Group.general, {"darken": 1, "blur": 1, "other": 1}),
    PairContext("one", Group.rankings, {"darken": 4, "blur": 1, "other": 2}),
    PairContext("two", Group.rankings, {"darken": 1, "blur": 1, "other": 2}),
]


def flats() -> list[Photograph]:
    """Photographs of one level each; the other photograph of each is black."""
    return [
        Photograph(
            str(m), np.full((160, 160, 3), m, np.uint8), np.zeros((160, 160, 3), np.uint8), 0
        )
        for m in MEANS
    ]


@pytest.fixture
def measured():
    target = BrightnessTarget()
    climbed, far = climb(target, CONTEXTS, flats(), FAKES)
    return target, climbed, far


def test_distances_are_those_of_the_metric(measured):
    _, climbed, far = measured
    steps = np.arange(1, 8)
    for one, weight in zip(climbed[0].distances, (1, 4, 1), strict=True):
        np.testing.assert_allclose(one, weight * np.outer(MEANS, steps))
    np.testing.assert_allclose(climbed[2].distances[0], np.outer(MEANS, steps[::-1]))
    mirror, upside_down, another = far
    assert not mirror.whole.any()
    assert not upside_down.middle.any()
    np.testing.assert_allclose(another.whole[1], 4 * np.square(MEANS))
    np.testing.assert_allclose(another.middle[1], 4 * np.square(MEANS))


def test_order_evenness_and_naming_have_their_closed_forms(measured):
    target, climbed, far = measured
    general, one, _ = context_figures(target, CONTEXTS, climbed, far)
    low, high = np.percentile(MEANS, [10, 90])
    for name, order in (("down", 1), ("up", 1), ("back", -1)):
        ladder = general.ladders[name]
        assert ladder.order == ladder.worst_photograph == order
        assert ladder.evenness == pytest.approx(high / low)
    # Once it goes up it counts less in a ranking that holds darkening for worse.
    awry = np.array([4.0, 8, 12, 8, 10, 12, 14])
    assert one.ladders["awry"].order == pytest.approx(
        scipy.stats.spearmanr(awry, range(7)).statistic
    )
    assert general.ladders["down"].named == 1
    assert general.ladders["awry"].named == 0
    # No distortion has this name, or the ladder gives no direction to name.
    assert general.ladders["back"].named is None
    assert general.ladders["up"].named is None
    assert one.importances == {"darken": 4, "blur": 1, "other": 2}


def test_gross_changes_against_mild_ones(measured):
    target, climbed, far = measured
    general, one, two = context_figures(target, CONTEXTS, climbed, far)
    another = general.gross["another picture"]
    # Black is as far as the mean is high, the second step two levels.
    assert another.times_mild["down"] == pytest.approx(np.median(MEANS) / 2)
    assert another.times_mild["back"] == pytest.approx(np.median(MEANS) / 6)
    assert set(another.beyond_third.values()) == {1.0}
    assert another.distances == pytest.approx(np.square(MEANS).tolist())
    assert another.ranked_above == general.gross["mirror"].ranked_above == []
    # The metric has no name for a mirror image: it counts as other, with an importance of 2.
    assert one.gross["mirror"].ranked_above == ["down", "up", "awry"]
    assert two.gross["mirror"].ranked_above == []
    assert one.gross["mirror"].beyond_third == dict.fromkeys(general.ladders, 0.0)


def test_groups_are_summed_up(measured):
    target, climbed, far = measured
    contexts = context_figures(target, CONTEXTS, climbed, far)
    groups = group_summaries(contexts)
    assert list(groups) == ["general", "rankings"]
    rankings = groups["rankings"]
    assert rankings.contexts == 2
    awry = [context.ladders["awry"] for context in contexts[1:]]
    assert awry[0].order != awry[1].order
    assert rankings.ladders["awry"].order == pytest.approx((awry[0].order + awry[1].order) / 2)
    assert rankings.ladders["awry"].worst_photograph == min(one.order for one in awry)
    assert rankings.lowest_ladder == rankings.worst_photograph == -1
    assert rankings.order == pytest.approx(np.mean([x.order for x in rankings.ladders.values()]))
    assert rankings.evenness == max(x.evenness for c in contexts[1:] for x in c.ladders.values())
    assert rankings.named == 0.5
    gross = rankings.gross["another picture"]
    # The second backward step is six levels long and counts 2 in both rankings.
    lowest = min(c.gross["another picture"].times_mild["back"] for c in contexts[1:])
    assert (gross.times_mild, gross.ladder) == (lowest, "back")
    assert rankings.gross["mirror"].times_mild == 0
    above_all = [
        dataclasses.replace(
            contexts[1],
            gross={"mirror": dataclasses.replace(contexts[1].gross["mirror"], ranked_above=[
                *contexts[1].ladders
            ])},
        )
    ]  # fmt: skip
    assert group_summaries(above_all)["rankings"].gross["mirror"].times_mild is None


def test_changes_of_geometry_are_compared_with_the_middle():
    class Shapes(BrightnessTarget):
        seen: list[tuple[int, ...]] = []  # noqa: RUF012

        def _see(self, reference, candidates):
            self.seen += [reference.shape, *(candidate.shape for candidate in candidates)]
            return super()._see(reference, candidates)

    target = Shapes()
    (one,), _ = climb(target, CONTEXTS[:1], flats(), [MOVED])
    assert set(target.seen) == {(160, 160, 3), (108, 108, 3)}
    np.testing.assert_allclose(one.distances[0], np.outer(MEANS, np.arange(1, 8)))


def test_ladders_share_a_call_up_to_a_number_of_pixels(monkeypatch):
    target = BrightnessTarget()
    expected, _ = climb(target, CONTEXTS, flats(), FAKES)
    monkeypatch.setattr("dps_train.evaluate.ladders.measuring.PIXELS_AT_ONCE", 1)
    found, _ = climb(target, CONTEXTS, flats(), FAKES)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.distances, other.distances)
        np.testing.assert_array_equal(one.parts, other.parts)


def test_what_a_metric_says_of_direction_and_strength():
    kinds = {kind.name: kind for kind in KINDS}
    target = BrightnessTarget()

    def kind_figure(name: str, directions: list[float] | None, strengths: list[float] | None):
        def columns(values: list[float] | None):
            return None if values is None else np.outer(values, [0, 1, 0])

        climbed = Climbed(
            kinds[name], np.ones((1, 4, 7)), None, columns(strengths), columns(directions)
        )
        return kind_figures(target, [climbed])[name]

    blur = kind_figure("blur", [0.1, 0.2, 0.3, -0.1], [1.4, 1.54, 1.54, 2.8])
    assert kinds["blur"].steps[MEDIUM] == 1.4
    assert blur.direction == 0.75
    assert blur.strength_error == pytest.approx(0.1)
    sharpen = kind_figure("sharpen", [-0.1, -0.2, -0.3, -0.1], [1.0] * 4)
    # Its amount is no sigma.
    assert (sharpen.direction, sharpen.strength_error) == (1.0, None)
    assert kind_figure("blur", None, None).direction is None
    assert kind_figure("hue", [1.0] * 4, [1.0] * 4).direction is None
    assert isinstance(target, PairTarget)
