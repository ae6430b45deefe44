"""Random changes to learn a distortion of the user's own from, alone and with one of the six."""

from __future__ import annotations

import torch
from torch import Tensor

from dps_train.custom.function import OwnDistortion
from dps_train.distortions.paper import DISTORTIONS, quantize
from dps_train.distortions.random_changes import (
    INVISIBLE,
    Draw,
    Kinds,
    any_strength,
    composed_pairs,
    graded_pairs,
    once,
    single,
    strengths_of_amounts,
)

OWN_FAMILY: Kinds = (("graded", 2), ("graded", 2), ("in range", 1), ("in range", 1), ("two", 4))
"""See `dps_train.distortions.random_changes.FAMILY`."""

OWN_GRADED = graded_pairs(OWN_FAMILY)
OWN_COMPOSED = composed_pairs(OWN_FAMILY)
OWN_FAMILY_SIZE = sum(count for _, count in OWN_FAMILY)


def draw_own_family(
    images: Tensor, own: OwnDistortion, generator: torch.Generator
) -> list[tuple[Draw, Tensor]]:
    """Draw a family of changes of each image, in the order of `OWN_FAMILY`.

    Args:
        images: float RGB [N, 3, H, W] in [0, 1].
        own: of this batch.
        generator: draws strengths, and which of the six goes with it.

    Returns:
        Draws with the amounts of the six, each with the amount of `own` [N].
    """
    members = [_graded(images, own, generator), _graded(images, own, generator)]
    members += [[_own(images, own, own.sample(len(images), generator))] for _ in range(2)]
    members.append(_two(images, own, generator))
    return [
        (Draw(quantize(changed), amounts, torch.zeros(len(images))), amount)
        for some in members
        for changed, amounts, amount in some
    ]


Member = tuple[Tensor, Tensor, Tensor]
"""Changed images, amounts of the six [N, 6], and of the distortion of the user's own [N]."""


def _graded(images: Tensor, own: OwnDistortion, generator: torch.Generator) -> list[Member]:
    """Weaker and stronger, alike in all else."""
    count = len(images)
    direction = torch.rand(count, generator=generator)
    strong = torch.rand(count, generator=generator)
    weak = strong * (0.2 + 0.7 * torch.rand(count, generator=generator))
    return [
        _own(images, own, own.with_strength(strengths_of_amounts(own, share), direction))
        for share in (weak, strong)
    ]


def _two(images: Tensor, own: OwnDistortion, generator: torch.Generator) -> list[Member]:
    """The own one and one of the six: each alone, and both in either order, if that can be."""
    rows = torch.arange(len(images))
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    of_six = once(any_strength(generator))
    parameters = any_strength(generator)(own, rows)
    one = _own(images, own, parameters)
    two, amounts, _ = single(images, kinds, of_six)
    one_two, more, _ = single(one[0], kinds, of_six)
    if own.needs_original:
        two_one, amount = one_two, one[2]
    else:
        two_one, _, amount = _own(quantize(two), own, parameters)
    return [
        one,
        (two, amounts, torch.zeros(len(images))),
        (one_two, more, one[2]),
        (two_one, amounts, amount),
    ]


def _own(images: Tensor, own: OwnDistortion, parameters: Tensor) -> Member:
    changed = own.apply(images, parameters)
    visible = (changed - images).abs().mean(dim=(1, 2, 3))
    amount = own.amount(parameters) * visible / (visible + INVISIBLE)
    return changed, torch.zeros(len(images), len(DISTORTIONS)), amount
