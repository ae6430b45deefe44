"""Families of changes to learn a custom distortion from, alone and combined with one of the six."""

from __future__ import annotations

import torch
from torch import Tensor

from dps_train.custom.function import StrengthDistortion
from dps_train.distortions.distortion import quantize
from dps_train.distortions.families import Members, composed_pairs, graded_pairs
from dps_train.distortions.paper import DISTORTIONS
from dps_train.distortions.random_changes import (
    INVISIBLE,
    Draw,
    any_strength,
    distort,
    distort_further,
    drawn_once,
    no_amounts,
    weaker,
)

CUSTOM_FAMILY: Members = (
    ("graded", 2),
    ("graded", 2),
    ("in range", 1),
    ("in range", 1),
    ("two", 4),
)
CUSTOM_GRADED = graded_pairs(CUSTOM_FAMILY)
CUSTOM_COMPOSED = composed_pairs(CUSTOM_FAMILY)
CUSTOM_FAMILY_SIZE = sum(count for _, count in CUSTOM_FAMILY)

CustomDraw = tuple[Draw, Tensor]
"""A draw with the amounts of the six, and the amounts of the custom distortion [N]."""


def draw_custom_family(
    images: Tensor, distortion: StrengthDistortion, generator: torch.Generator
) -> list[CustomDraw]:
    """Draw a family of changes of images [N, 3, H, W], in the order of `CUSTOM_FAMILY`."""
    members = [*_graded(images, distortion, generator), *_graded(images, distortion, generator)]
    members += [
        _applied(images, distortion, distortion.sample(len(images), generator)) for _ in range(2)
    ]
    members += _two(images, distortion, generator)
    return [
        (Draw(quantize(draw.images), draw.amounts, draw.other), amount) for draw, amount in members
    ]


def _graded(
    images: Tensor, distortion: StrengthDistortion, generator: torch.Generator
) -> list[CustomDraw]:
    """Weaker and stronger, otherwise alike."""
    direction = torch.rand(len(images), generator=generator)
    strong = torch.rand(len(images), generator=generator)
    return [
        _applied(
            images,
            distortion,
            distortion.with_strength(distortion.strength_at(share), direction),
        )
        for share in (weaker(strong, generator), strong)
    ]


def _two(
    images: Tensor, distortion: StrengthDistortion, generator: torch.Generator
) -> list[CustomDraw]:
    """Each of the custom distortion and one of the six, then both in either order if possible."""
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    of_six = drawn_once(any_strength(generator))
    parameters = any_strength(generator)(distortion, torch.arange(len(images)))
    custom, amount = _applied(images, distortion, parameters)
    six = distort(images, kinds, of_six)
    six_last = distort_further(custom, kinds, of_six), amount
    if distortion.needs_original:
        custom_last = Draw(six_last[0].images, six.amounts, six.other), amount
    else:
        further, further_amount = _applied(quantize(six.images), distortion, parameters)
        custom_last = Draw(further.images, six.amounts, six.other), further_amount
    return [(custom, amount), (six, torch.zeros(len(images))), six_last, custom_last]


def _applied(images: Tensor, distortion: StrengthDistortion, parameters: Tensor) -> CustomDraw:
    changed = distortion.apply(images, parameters)
    visible = (changed - images).abs().mean(dim=(1, 2, 3))
    amount = distortion.amount(parameters) * visible / (visible + INVISIBLE)
    return Draw(changed, no_amounts(images), torch.zeros(len(images))), amount
