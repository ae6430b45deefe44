"""Other kinds of change than the six distortions."""

from __future__ import annotations

import itertools

import pytest
import torch
from train_helpers import levels, natural, seeded

from dps_train.distortions.distortion import quantize
from dps_train.distortions.other.kinds import HELD_OUT, TRAINED

CHANGES = {**TRAINED, **HELD_OUT}


def test_trained_and_held_out_kinds_are_different():
    assert TRAINED
    assert HELD_OUT
    assert not set(TRAINED) & set(HELD_OUT)
    assert not set(TRAINED.values()) & set(HELD_OUT.values())


@pytest.mark.parametrize("name", CHANGES)
def test_no_strength_changes_nothing(name):
    for images in (natural(4), levels(4, 64, 64)):
        same = CHANGES[name](images, torch.zeros(4), seeded())
        assert torch.equal(quantize(same), images)


@pytest.mark.parametrize("name", CHANGES)
def test_changes_stay_in_range_and_mutate_nothing(name):
    images = torch.cat([natural(4), levels(8, 64, 64)])
    strength = torch.linspace(0, 1, 12)
    before = images.clone(), strength.clone()
    changed = CHANGES[name](images, strength, seeded())
    assert torch.equal(images, before[0])
    assert torch.equal(strength, before[1])
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    # Blends of black and white may be off by a rounding.
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    assert changed.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", CHANGES)
def test_changes_follow_their_generator(name):
    images, strength = natural(3), torch.full((3,), 0.6)
    torch.rand(3)
    first = CHANGES[name](images, strength, seeded(8))
    torch.rand(5)
    assert torch.equal(CHANGES[name](images, strength, seeded(8)), first)


@pytest.mark.parametrize("name", CHANGES)
def test_more_strength_is_more_change(name):
    images = natural(6)
    steps = [
        (CHANGES[name](images, torch.full((6,), strength), seeded(8)) - images).square().mean()
        for strength in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]
    assert all(less < more for less, more in itertools.pairwise(steps)), steps


@pytest.mark.parametrize("name", CHANGES)
def test_each_image_has_its_own_strength(name):
    images = natural(3)
    changed = CHANGES[name](images, torch.tensor([0.0, 1.0, 0.0]), seeded())
    moved = (quantize(changed) - images).abs().amax(dim=(1, 2, 3)) > 0
    assert moved.tolist() == [False, True, False]


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_change_draws_does_not_depend_on_its_strength(name):
    # Or else a weaker and a stronger change of a batch would not be the same change.
    images = natural(3)
    states = []
    for strength in (0.0, 0.3, 1.0):
        generator = seeded(8)
        CHANGES[name](images, torch.full((3,), strength), generator)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.parametrize("name", CHANGES)
def test_stronger_is_more_of_the_same(name):
    images = natural(6)

    def changed(strength: float, seed: int) -> torch.Tensor:
        return CHANGES[name](images, torch.full((6,), strength), seeded(seed))

    base = changed(0.6, 8)
    another = (changed(0.6, 9) - base).abs().mean()
    if another == 0:
        # It draws nothing.
        assert torch.equal(changed(0.6, 9), base)
        return
    assert (changed(0.62, 8) - base).abs().mean() < another / 4


def test_ghosts_and_what_is_pasted_come_from_another_image():
    images = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(-1, 3, 16, 16)
    others = images.roll(1, dims=0)
    half = CHANGES["ghost"](images, torch.ones(3), seeded())
    torch.testing.assert_close(half, (images + others) / 2)
    pasted = CHANGES["paste"](images, torch.ones(3), seeded())
    assert torch.all((pasted == images) | (pasted == others))
    covered = (pasted == others).float().mean(dim=(1, 2, 3))
    # A square of half the side, give or take a pixel on each side.
    assert torch.all((covered > (6 / 16) ** 2) & (covered < (10 / 16) ** 2))
