"""Strengths, amounts and levels of distortions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dps_train.distortions.amount_law import amount_of_strength, strength_of_amount
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS


@pytest.mark.parametrize("as_number", [float, torch.tensor])
def test_the_amount_law_in_closed_form(as_number):
    threshold, reference = as_number(0.5), as_number(4.0)
    strength = torch.tensor([0.0, 0.5, 4.0, 40.0])
    expected = [math.log1p(value / 0.5) / math.log1p(8) for value in strength.tolist()]
    amounts = amount_of_strength(strength, threshold, reference)
    torch.testing.assert_close(amounts, torch.tensor(expected))
    torch.testing.assert_close(strength_of_amount(amounts, 0.5, 4.0), strength)


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda d: d.name)
def test_shares_of_the_largest_amount_are_evenly_spaced(distortion):
    strengths = distortion.strength_at(torch.linspace(0, 1, 11))
    torch.testing.assert_close(strengths[0], torch.tensor(0.0))
    torch.testing.assert_close(strengths[-1], torch.tensor(distortion.limit))
    amounts = distortion.amount(distortion.with_strength(strengths, torch.full((11,), 0.6)))
    steps = amounts.diff()
    # Evenly spaced; angles are rounded to 3e-5 degrees of a threshold of some.
    torch.testing.assert_close(steps, steps.mean().expand(10), rtol=1e-3, atol=1e-5)


@given(st.lists(st.floats(-1, 2, width=32), min_size=3, max_size=3))
def test_quantize_rounds_to_the_levels_of_files(values):
    image = torch.tensor(values)[None, :, None, None]
    before = image.clone()
    rounded = quantize(image)
    assert torch.equal(image, before)
    assert torch.equal(quantize(rounded), rounded)
    assert torch.equal((rounded * 255).round().to(torch.uint8).float() / 255, rounded)
    clamped = image.clamp(0, 1)
    assert torch.all((rounded - clamped).abs() <= 0.5 / 255 + 1e-7)
