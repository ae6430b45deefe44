"""The head of size and presence: its guarantees on random z, whatever its weights are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from train_helpers import seeded

from dps_infer.contexts.ranking import OTHER, SIZE
from dps_train.contexts import AMOUNTS
from dps_train.distortions.kinds import KIND_NAMES
from dps_train.fit.presence.training import initialize
from dps_train.model.change.change_features import FEATURES
from dps_train.model.change.general_distance import CORRECTION, INVISIBLE, TERMS, general_distance
from dps_train.model.change.presence_head import (
    BEHIND,
    CLEAR,
    CONFIRMED_IN_CELLS,
    ENOUGH,
    FAINT,
    FEW,
    FULLY,
    LEAST,
    LIMIT,
    NOTHING,
    SEEN,
    UNCLEAR,
    PresenceHead,
    Standardize,
    clearest_presences,
    pooled_directions,
    pooled_presences,
    presences,
    shares_alone,
)
from dps_train.model.extended_head import ExtendedHead

CODE = 11
CUSTOM = ("jpeg", "soft")
MOST = len(KIND_NAMES) + len(CUSTOM)

# Sums of some hundred float32 products in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}

importance = st.just(0.0) | st.floats(1e-3, 100)
seeds = st.integers(0, 2**32)


def made(custom: tuple[str, ...] = ()) -> PresenceHead | ExtendedHead:
    """A head with random weights and scales."""
    generator = seeded(3)
    head = PresenceHead(KIND_NAMES, CODE)
    initialize(head, generator)
    head.scale.uniform_(0.2, 5, generator=generator)
    if not custom:
        return head.eval()
    extended = ExtendedHead(head, custom)
    initialize(extended.own, generator)
    initialize(extended.gates, generator)
    extended.scale.uniform_(0.2, 5, generator=generator)
    return extended.eval()


@pytest.fixture(scope="module", params=[(), CUSTOM], ids=["fourteen", "with custom ones"])
def head(request) -> PresenceHead | ExtendedHead:
    return made(request.param)


def some_z(head: PresenceHead | ExtendedHead, count: int, seed: int = 0) -> Tensor:
    """Terms over many orders of magnitude, features of any sign, and shares of cells."""
    generator = seeded(seed)
    z = 3 * torch.randn(count, sum(head.lengths), generator=generator)
    z[:, 0] = torch.exp(z[:, 0])
    z[:, 1 : 1 + TERMS] = torch.exp(2 * z[:, 1 : 1 + TERMS] - 6)
    alone = alone_in(z, head)
    alone.copy_((alone / 30).clamp(0, 1))
    clearest = clearest_in(z, head)
    clearest.copy_(torch.sigmoid(clearest))
    return z


def alone_in(z: Tensor, head: PresenceHead | ExtendedHead) -> Tensor:
    """The shares of cells that show one kind alone, as a view."""
    return z.split(head.lengths, dim=1)[-3]


def clearest_in(z: Tensor, head: PresenceHead | ExtendedHead) -> Tensor:
    """The presences where they are clearest, as a view."""
    return z.split(head.lengths, dim=1)[-2]


def exchanged(z: Tensor) -> Tensor:
    """What z is when the images change places: the features of both orders do."""
    parts = list(z.split([1 + TERMS, FEATURES, FEATURES, z.shape[1] - 1 - TERMS - 2 * FEATURES], 1))
    parts[1], parts[2] = parts[2], parts[1]
    return torch.cat(parts, dim=1)


def in_context(head: PresenceHead | ExtendedHead, values: list[float], size: float = 0.0) -> Tensor:
    """Set importances of the kinds, as many as there are values, and of the size."""
    weights = dict(zip(head.names[:-1], values, strict=False))
    head.set_importances(weights | {SIZE: size})
    return head.importances


def scales(head: PresenceHead | ExtendedHead) -> Tensor:
    """The amount of each kind that is fully there, in a difference of size 1."""
    if isinstance(head, ExtendedHead):
        return torch.cat([head.older.scale[:-1], head.scale, head.older.scale[-1:]])
    return head.scale


def test_the_names_are_those_of_contexts(head):
    assert made().names == AMOUNTS
    assert head.names[-2:] == (OTHER, SIZE)
    assert head.names_kinds
    # Without a context, the kinds count, and the size adds nothing to them.
    assert PresenceHead(KIND_NAMES, CODE).importances.tolist() == [1.0] * len(KIND_NAMES) + [0.0]


@settings(max_examples=25)
@given(st.lists(importance, min_size=MOST, max_size=MOST), importance, seeds)
@torch.no_grad()
def test_the_distance_is_between_the_size_in_the_least_and_in_every_importance(
    head, values, size_counts, seed
):
    z = some_z(head, 4, seed)
    weights = in_context(head, values, size_counts)
    distance, amounts = head(z), head.amounts(z)
    size, weighed = amounts[:, -1], weights[:-1] * scales(head)
    assert torch.all(distance >= (weighed.min() + weights[-1]) * size * (1 - 1e-5))
    assert torch.all(distance <= (weighed.sum() + weights[-1]) * size * (1 + 1e-5))
    # The parts add up to the distance.
    parts = (amounts.double() * weights.double()).sum(dim=1)
    torch.testing.assert_close(distance.double(), parts, rtol=1e-5, atol=1e-12)
    # Doubling is exact in floats.
    head.importances.mul_(2)
    assert torch.equal(head(z), 2 * distance)


@settings(max_examples=25)
@given(seeds)
@torch.no_grad()
def test_one_kind_is_fully_there_and_none_more(head, seed):
    z = some_z(head, 4, seed)
    amounts = head.amounts(z)
    assert torch.isfinite(amounts).all()
    assert torch.all(amounts >= 0)
    present = amounts[:, :-1] / (scales(head) * amounts[:, -1:])
    torch.testing.assert_close(present.amax(dim=1), torch.ones(4), rtol=1e-5, atol=0)


@torch.no_grad()
def test_presences_take_every_value(head):
    # Or else the properties here would hold of a head that always names one kind.
    z = some_z(head, 20000)
    amounts = head.amounts(z)
    present = amounts[:, :-1] / (scales(head) * amounts[:, -1:])
    assert (present == 0).any()
    assert ((present > 0.2) & (present < 0.8)).any()
    assert ((present > 0.999).sum(dim=1) > 1).any()
    assert ((present > 0.999).any(dim=0)).sum() > 8


@torch.no_grad()
def test_in_the_context_of_the_size_the_distance_is_the_size(head):
    z = some_z(head, 20)
    head.set_importances({SIZE: 1.0})
    assert torch.equal(head(z), head.amounts(z)[:, -1])
    torch.testing.assert_close(head(z), head.size(z, head.read(z)), rtol=0, atol=0)


@torch.no_grad()
def test_no_term_is_no_distance(head):
    in_context(head, [1.0] * MOST, 1.0)
    z = some_z(head, 5)
    z[:, 1 : 1 + TERMS] = 0
    assert head.amounts(z).count_nonzero() == 0
    assert head(z).count_nonzero() == 0


@settings(max_examples=25)
@given(seeds)
@torch.no_grad()
def test_exchanged_images_have_equal_amounts_and_opposite_directions(head, seed):
    z = some_z(head, 4, seed)
    there, back = head.read(z), head.read(exchanged(z))
    for name in ("evidence", "strengths", "correction"):
        torch.testing.assert_close(getattr(back, name), getattr(there, name), **CLOSE)
    torch.testing.assert_close(back.directions, -there.directions, **CLOSE)
    assert there.directions.abs().max() > 0.01
    torch.testing.assert_close(head.amounts(exchanged(z)), head.amounts(z), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_equal_features_have_no_direction(head):
    z = some_z(head, 4)
    z[:, 1 + TERMS + FEATURES : 1 + TERMS + 2 * FEATURES] = z[:, 1 + TERMS : 1 + TERMS + FEATURES]
    torch.testing.assert_close(head.read(z).directions, torch.zeros(4, len(KIND_NAMES)), **CLOSE)


@torch.no_grad()
def test_each_pair_by_itself_and_leading_dimensions(head):
    in_context(head, [1.0] * MOST)
    z = some_z(head, 6)
    before = z.clone()
    together = head(z)
    assert torch.equal(z, before)
    torch.testing.assert_close(torch.cat([head(row[None]) for row in z]), together, **CLOSE)
    shaped = z.reshape(2, 3, -1)
    torch.testing.assert_close(head(shaped).flatten(), together, **CLOSE)
    assert torch.equal(head.total(shaped), z[:, 0].reshape(2, 3))


@torch.no_grad()
def test_the_correction_is_bounded(head):
    z = some_z(head, 50)
    plain = general_distance(z[:, 1 : 1 + TERMS], torch.zeros(50))
    # What is invisible shrinks with its square: undo that first, s = d d / (d + INVISIBLE).
    plain, corrected = (
        (s + (s.square() + 4 * INVISIBLE * s).sqrt()) / 2 for s in (plain, head.amounts(z)[:, -1])
    )
    factor = corrected / plain
    # The plain difference of pixels is not corrected, which brings the factor closer to 1.
    assert torch.all(factor.log().abs() <= CORRECTION * 1.0001)
    assert factor.min() < factor.max()


# --- its parts ------------------------------------------------------------------------


def test_presences_in_closed_form():
    middle = (NOTHING + FULLY) / 2
    probability = torch.tensor(
        [
            # Probable kinds are there, whatever else is.
            [1.0, NOTHING, FULLY, middle, 0.0],
            # Of improbable ones only the most probable one is, and what is as probable.
            [0.4, 0.4 * BEHIND, 0.4 * (1 + BEHIND) / 2, 0.1, 0.4],
            # Without evidence a change is of another kind.
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [LEAST / 10, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    expected = torch.tensor(
        [
            [1.0, 0.0, 1.0, 0.5, 0.0],
            [1.0, 0.0, 0.5, 0.0, 1.0],
            [0.0, 0.0, 0.0, 0.0, 1.0],
            [0.0, 0.0, 0.0, 0.0, 1.0],
        ]
    )
    torch.testing.assert_close(presences(probability), expected, rtol=0, atol=1e-5)


def test_pooled_presences_in_closed_form():
    evidence = torch.full((1, 4, 2), -40.0)
    evidence[..., 0] = 0.0
    pooled = pooled_presences(evidence, torch.ones(1, 4))
    torch.testing.assert_close(pooled, torch.tensor([[0.5, 0.0, 0.5, 1e-3]]), rtol=1e-3, atol=1e-5)
    # One of four cells shows it: the mean sees a quarter, the cubes (1 / 4) ** (1 / 3).
    evidence[0, :, 0] = torch.tensor([40.0, -40.0, -40.0, -40.0])
    pooled = pooled_presences(evidence, torch.ones(1, 4))
    torch.testing.assert_close(pooled[0, 0], torch.tensor(0.25))
    torch.testing.assert_close(pooled[0, 2], torch.tensor(0.25 ** (1 / 3)))
    # A cell without a difference does not count.
    pooled = pooled_presences(evidence, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(pooled[0, 0], torch.tensor(1.0), rtol=0, atol=1e-5)


def test_shares_of_cells_that_show_one_kind_alone():
    # Three kinds and `other`; four cells.
    evidence = torch.full((1, 4, 4), -20.0)
    evidence[0, 0, 0] = evidence[0, 1, 1] = 20.0
    evidence[0, 2, :2] = 20.0
    evidence[0, 3, 3] = 20.0
    distances = torch.tensor([[0.3, 0.1, 0.4, 0.2]])
    # The third cell shows two kinds, so neither alone; `other` is not counted.
    shares = shares_alone(evidence, distances)
    torch.testing.assert_close(shares, torch.tensor([[0.3, 0.1, 0.0]]), rtol=0, atol=1e-5)
    # Between unclear and clear, a cell counts in part.
    evidence[0, 0, 0] = math.log((UNCLEAR + CLEAR) / 2 / (1 - (UNCLEAR + CLEAR) / 2))
    shares = shares_alone(evidence, distances)
    torch.testing.assert_close(shares, torch.tensor([[0.15, 0.1, 0.0]]), rtol=0, atol=1e-5)
    # In one cell there are no two places.
    assert shares_alone(evidence[:, 1:2], distances[:, 1:2]).count_nonzero() == 0


def test_directions_are_pooled_where_the_kind_is():
    evidence = torch.tensor([[[20.0, -20.0], [-20.0, 20.0], [20.0, -20.0]]])
    directions = torch.tensor([[[40.0, 40.0], [-40.0, -40.0], [-40.0, 0.0]]])
    distances = torch.tensor([[0.3, 0.5, 0.1]])
    pooled = pooled_directions(evidence, directions, distances)
    torch.testing.assert_close(pooled, torch.tensor([[0.5, -1.0]]), rtol=0, atol=1e-4)
    back = pooled_directions(evidence, -directions, distances)
    assert torch.equal(back, -pooled)
    none = pooled_directions(evidence, directions, torch.zeros(1, 3))
    assert torch.isfinite(none).all()


@torch.no_grad()
def test_a_kind_that_enough_cells_show_alone_is_there():
    head = made()
    z = some_z(head, 40)
    alone = alone_in(z, head)
    alone.zero_()
    clearest_in(z, head).fill_(1)
    reading = head.read(z)
    before = head.present(z, reading)
    torch.testing.assert_close(before, presences(torch.sigmoid(reading.evidence)))
    for share, least in ((FEW, 0.0), ((FEW + ENOUGH) / 2, 0.5), (ENOUGH, 1.0), (1.0, 1.0)):
        alone.fill_(0)
        alone[:, 0] = share
        present = head.present(z, head.read(z))
        same = before[:, head.content] == 0
        wanted = before[same, 0].clamp(min=least)
        torch.testing.assert_close(present[same, 0], wanted, rtol=0, atol=1e-6)
        torch.testing.assert_close(present[:, 1:], before[:, 1:], rtol=0, atol=0)
    # Other content explains half of it.
    replaced = before[:, head.content] == 1
    assert replaced.any()
    alone[:, 0] = FEW + ENOUGH
    present = head.present(z, head.read(z))[replaced, 0]
    torch.testing.assert_close(present, before[replaced, 0].clamp(min=0.5), rtol=0, atol=1e-6)


def test_a_kind_is_as_clear_as_in_its_clearest_cell():
    evidence = torch.tensor([[[20.0, -20.0], [0.0, -20.0], [-20.0, 20.0]]])
    distances = torch.tensor([[0.1, 0.3, 0.1 * FAINT]])
    # The last cell hardly differs.
    clearest = clearest_presences(evidence, distances)
    torch.testing.assert_close(clearest, torch.tensor([[1.0, 1 / 3]]), rtol=0, atol=1e-3)
    # One cell does not contradict the whole image.
    assert torch.all(clearest_presences(evidence[:, 1:2], distances[:, 1:2]) == 1)
    assert torch.isfinite(clearest_presences(evidence, torch.zeros(1, 3))).all()


@torch.no_grad()
@pytest.mark.parametrize("name", [*CONFIRMED_IN_CELLS, "content"])
def test_a_kind_that_cells_must_confirm(name):
    head = made()
    z = some_z(head, 400)
    alone_in(z, head).zero_()
    clearest = clearest_in(z, head)
    clearest.fill_(1)
    before = head.present(z, head.read(z))
    kind = KIND_NAMES.index(name)
    assert (before[:, kind] > 0).any()
    clearest[:, kind] = SEEN
    torch.testing.assert_close(head.present(z, head.read(z)), before, rtol=0, atol=1e-5)
    clearest[:, kind] = 0
    present = head.present(z, head.read(z))
    torch.testing.assert_close(present.amax(dim=1), torch.ones(400), rtol=0, atol=1e-6)
    if name in CONFIRMED_IN_CELLS:
        assert present[:, kind].count_nonzero() == 0
    else:
        assert torch.equal(present, before)


@torch.no_grad()
def test_custom_distortions_explain_what_cells_show_alone():
    for gates, there in ((100.0, 0.0), (-100.0, 1.0)):
        extended = settled(made(CUSTOM), custom=100.0, gates=gates)
        z = some_z(extended, 10)
        alone_in(z, extended)[:, 0] = 1.0
        present = extended.present(z, extended.read(z))
        assert torch.all(present[:, 0] == there)


def test_standardized_inputs_have_mean_0_and_deviation_1():
    inputs = 5 + 2 * torch.randn(4000, 3, generator=seeded())
    inputs[:, 2] = 7
    standardize = Standardize(3)
    standardize.fit(inputs)
    found = standardize(inputs)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.std(dim=0), torch.tensor([1.0, 1.0, 0.0]), rtol=0, atol=1e-3)
    assert standardize(torch.tensor([1e9, -1e9, 7.0])).tolist() == [LIMIT, -LIMIT, 0.0]


# --- custom distortions ---------------------------------------------------------------


def settled(head: ExtendedHead, custom: float, gates: float) -> ExtendedHead:
    """Let the new layers always read the same evidence."""
    for reader, value in ((head.own, custom), (head.gates, gates)):
        reader.last.weight.data.zero_()
        reader.last.bias.data.fill_(value)
    return head


@torch.no_grad()
def test_where_no_custom_distortion_is_read_older_amounts_stay():
    older = made()
    extended = settled(made(CUSTOM), custom=-100.0, gates=100.0)
    z = some_z(older, 30)
    amounts = extended.amounts(z)
    kept = [extended.names.index(name) for name in older.names]
    assert torch.equal(amounts[:, kept], older.amounts(z))
    added = [extended.names.index(name) for name in CUSTOM]
    assert amounts[:, added].count_nonzero() == 0


@torch.no_grad()
def test_a_custom_distortion_explains_older_kinds_as_far_as_the_gates_say():
    z = some_z(made(), 30)
    explained = settled(made(CUSTOM), custom=100.0, gates=100.0).amounts(z)
    beside = settled(made(CUSTOM), custom=100.0, gates=-100.0).amounts(z)
    added = [AMOUNTS.index(OTHER), AMOUNTS.index(OTHER) + 1]
    older = [number for number in range(len(AMOUNTS) + 1) if number not in added]
    assert (explained[:, added] > 0).all()
    assert explained[:, older].count_nonzero() == 0
    assert (beside[:, added] > 0).all()
    assert (beside[:, older] > 0).any()


def test_kinds_stay_in_their_columns_beside_custom_ones():
    values = torch.arange(1.0, 1 + len(KIND_NAMES))[None]
    assert torch.equal(made().widened(values), values)
    extended = made(CUSTOM)
    wide = dict(zip(extended.names, extended.widened(values)[0].tolist(), strict=False))
    assert [wide[name] for name in KIND_NAMES] == values[0].tolist()
    assert [wide[name] for name in CUSTOM] == [0.0, 0.0]


def test_new_layers_are_rounded_and_drop_out_only_while_they_learn():
    extended = made(CUSTOM)
    z = some_z(extended, 5)
    extended.round_to_half()
    for parameter in (*extended.own.parameters(), *extended.gates.parameters()):
        assert torch.equal(parameter, parameter.half().float())
    with torch.no_grad():
        before = extended.amounts(z)
        extended.own.dropout = extended.gates.dropout = seeded()
        assert not torch.equal(
            extended.own(extended.older.inputs(z)), extended.own(extended.older.inputs(z))
        )
        extended.own.dropout = extended.gates.dropout = None
        assert torch.equal(extended.amounts(z), before)
