"""Random changes of images to train on, with the amounts that a metric should report.

For each image a fixed *family* of changes is drawn (`FAMILY`): single distortions at two
strengths, single ones in the paper's range, two in turn with each of them alone, three in
turn, other kinds of change at two strengths, another image, and noise too faint to count.
Families make
two properties trainable that single pairs do not show: more of a change is farther
away, and two changes are at least as far as either alone (`NEARER_FARTHER`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_train.changes import TRAINED
from dps_train.distortions import DISTORTIONS, Distortion, quantize

FAINT_NOISE = 2 / 255
"""The strongest of the noise that should count as nothing, in half ranges."""

UNRELATED = 4.0
"""How much of `other` another image shows, in feature differences: more than any change of one."""

FAMILY = (
    ("graded", 2),
    ("graded", 2),
    ("graded", 2),
    ("in range", 1),
    ("in range", 1),
    ("in range", 1),
    ("two", 3),
    ("two", 3),
    ("three", 1),
    ("other", 2),
    ("another image", 1),
    ("faint noise", 1),
)
"""Kinds of draw in a family, each with the number of changed images it gives."""

FAMILY_SIZE = sum(count for _, count in FAMILY)


@dataclass(frozen=True)
class Draw:
    """Changed images, one family member for each of N images, and what was done to them.

    Attributes:
        images: float RGB [N, 3, H, W] in [0, 1], rounded to 256 levels but for faint noise.
        amounts: [N, K], of each distortion.
        other: [N], the strength of another kind of change in [0, 1], else 0; `UNRELATED`
            for another image.
    """

    images: Tensor
    amounts: Tensor
    other: Tensor


def draw_family(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """Draw a family of changes of each image: `FAMILY_SIZE` members, in `FAMILY`'s order."""
    return [
        Draw(changed if kind == "faint noise" else quantize(changed), amounts, other)
        for kind, _ in FAMILY
        for changed, amounts, other in _KINDS[kind](images, generator)
    ]


def strengths_of_amounts(distortion: Distortion, share: Tensor) -> Tensor:
    """Return strengths at given shares (0 to 1) of the way to the largest amount."""
    top = math.log1p(distortion.limit / distortion.threshold)
    return distortion.threshold * torch.expm1(share * top)


def _nearer_farther() -> tuple[tuple[int, int], ...]:
    pairs = []
    start = 0
    for kind, count in FAMILY:
        if kind in ("graded", "other"):
            pairs.append((start, start + 1))
        elif kind == "two":
            pairs += [(start, start + 2), (start + 1, start + 2)]
        start += count
    return tuple(pairs)


NEARER_FARTHER = _nearer_farther()
"""Pairs of family members whose first should be no farther than the second, in any context."""

Member = tuple[Tensor, Tensor, Tensor]
"""Changed images, amounts and strength of another kind: see `Draw`."""


def _graded(images: Tensor, generator: torch.Generator) -> list[Member]:
    """One distortion an image, weaker and stronger in the same direction."""
    count = len(images)
    kinds = torch.randint(len(DISTORTIONS), (count,), generator=generator)
    direction = torch.rand(count, generator=generator)
    strong = torch.rand(count, generator=generator)
    weak = strong * (0.2 + 0.7 * torch.rand(count, generator=generator))

    def towards(share: Tensor) -> Parameters:
        return lambda distortion, rows: distortion.with_strength(
            strengths_of_amounts(distortion, share[rows]), direction[rows]
        )

    return [_single(images, kinds, towards(share)) for share in (weak, strong)]


def _in_range(images: Tensor, generator: torch.Generator) -> list[Member]:
    """One distortion an image, in the paper's range."""
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    return [_single(images, kinds, lambda d, rows: d.sample(len(rows), generator))]


def _two(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Two different distortions an image: each alone, and both in turn."""
    order = _random_order(len(images), generator)
    first = _single(images, order[:, 0], _any_strength(generator))
    parameters: dict[str, Tensor] = {}
    draw = _any_strength(generator)

    def remembered(distortion: Distortion, rows: Tensor) -> Tensor:
        if distortion.name not in parameters:
            parameters[distortion.name] = draw(distortion, rows)
        return parameters[distortion.name]

    second = _single(images, order[:, 1], remembered)
    both, _, other = _single(first[0], order[:, 1], remembered)
    return [first, second, (both, first[1] + second[1], other)]


def _three(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Three different distortions an image, in turn."""
    order = _random_order(len(images), generator)
    changed, amounts, other = _single(images, order[:, 0], _any_strength(generator))
    for step in (1, 2):
        changed, more, _ = _single(changed, order[:, step], _any_strength(generator))
        amounts = amounts + more
    return [(changed, amounts, other)]


def _other(images: Tensor, generator: torch.Generator) -> list[Member]:
    """One of the other kinds of change an image, weaker and stronger."""
    kinds = torch.randint(len(TRAINED), (len(images),), generator=generator)
    strong = torch.rand(len(images), generator=generator)
    weak = strong * (0.2 + 0.7 * torch.rand(len(images), generator=generator))
    seed = int(torch.randint(2**31, (1,), generator=generator))
    members = []
    for strength in (weak, strong):
        # The same seed twice: the stronger change is more of the same, not another.
        same = torch.Generator().manual_seed(seed)
        changed = images.clone()
        for number, change in enumerate(TRAINED.values()):
            rows = torch.nonzero(kinds == number)[:, 0]
            if len(rows):
                changed[rows] = change(images[rows], strength[rows], same)
        members.append((changed, _no_amounts(images), strength))
    return members


def _another_image(images: Tensor, generator: torch.Generator) -> list[Member]:
    """The next image of the batch."""
    return [(images.roll(1, dims=0), _no_amounts(images), torch.full((len(images),), UNRELATED))]


def _faint_noise(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Noise so weak that it should count as nothing."""
    scale = FAINT_NOISE * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = scale * (torch.rand(images.shape, generator=generator) * 2 - 1)
    return [((images + noise).clamp(0, 1), _no_amounts(images), torch.zeros(len(images)))]


_KINDS: dict[str, Callable[[Tensor, torch.Generator], list[Member]]] = {
    "graded": _graded,
    "in range": _in_range,
    "two": _two,
    "three": _three,
    "other": _other,
    "another image": _another_image,
    "faint noise": _faint_noise,
}

Parameters = Callable[[Distortion, Tensor], Tensor]
"""Gives the parameters [n, columns] of a distortion for some rows [n] of a batch."""


def _single(images: Tensor, kinds: Tensor, parameters: Parameters) -> Member:
    """Apply to each image the distortion whose number `kinds` [N] gives."""
    changed = images.clone()
    amounts = _no_amounts(images)
    for number, distortion in enumerate(DISTORTIONS):
        rows = torch.nonzero(kinds == number)[:, 0]
        if len(rows):
            drawn = parameters(distortion, rows)
            changed[rows] = distortion.apply(images[rows], drawn)
            amounts[rows, number] = distortion.amount(drawn)
    return changed, amounts, torch.zeros(len(images))


def _any_strength(generator: torch.Generator) -> Parameters:
    """Draw half of the parameters in the paper's range, the rest over all amounts from 0 up."""

    def draw(distortion: Distortion, rows: Tensor) -> Tensor:
        count = len(rows)
        in_range = distortion.sample(count, generator)
        share = torch.rand(count, generator=generator)
        spread = distortion.with_strength(
            strengths_of_amounts(distortion, share), torch.rand(count, generator=generator)
        )
        return torch.where(
            (torch.rand(count, generator=generator) < 0.5)[:, None], in_range, spread
        )

    return draw


def _random_order(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, len(DISTORTIONS), generator=generator).argsort(dim=1)


def _no_amounts(images: Tensor) -> Tensor:
    return torch.zeros(len(images), len(DISTORTIONS))
