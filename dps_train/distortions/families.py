"""Families of random changes to train on.

For each image a fixed *family* of changes is drawn. Families make two properties trainable that
single pairs do not show: more of a change is farther away (`GRADED`), and two changes together
are at least as far as either alone (`COMPOSED`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from dps_train.distortions.distortion import quantize
from dps_train.distortions.other.kinds import TRAINED
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.distortions.random_changes import (
    MOVING,
    Draw,
    Parameters,
    any_strength,
    distort,
    distort_further,
    drawn_once,
    no_amounts,
    rows_by_kind,
    weaker,
)

FAINT_NOISE = 1 / 255
"""Largest amplitude of the noise that should not count."""

UNRELATED = 3.0
"""The share of `other` in another image: more than any change of the same image."""

TONES = tuple(NAMES.index(name) for name in ("darken", "color"))
"""Distortions of tones, which are hard to tell apart as well."""

Members = tuple[tuple[str, int], ...]
"""The members of a family: their kind, and how many changed images it gives."""

FAMILY: Members = (
    ("graded", 2),
    ("graded", 2),
    ("in range", 1),
    ("in range", 1),
    ("two", 4),
    ("three", 1),
    ("other", 2),
    ("another image", 1),
    ("faint noise", 1),
)

FAMILY_SIZE = sum(count for _, count in FAMILY)

Pairs = tuple[tuple[int, int], ...]
"""Indices of two members of a family."""


def draw_family(
    images: Tensor, generator: torch.Generator, members: Members = FAMILY
) -> list[Draw]:
    """Draw a family of changes of each image, in the order of `members`."""
    return [
        draw if kind == "faint noise" else replace(draw, images=quantize(draw.images))
        for kind, _ in members
        for draw in _MEMBERS[kind](images, generator)
    ]


def graded_pairs(members: Members) -> Pairs:
    """Return pairs (weaker, stronger) of one change: the second should be farther."""
    return _pairs(members, ("graded", "other"), within=((0, 1),))


def composed_pairs(members: Members) -> Pairs:
    """Return pairs (one change, two changes): the second should be no nearer."""
    return _pairs(members, ("two",), within=((0, 2), (1, 2), (0, 3), (1, 3)))


def _pairs(members: Members, wanted: tuple[str, ...], within: Pairs) -> Pairs:
    pairs: list[tuple[int, int]] = []
    start = 0
    for kind, count in members:
        if kind in wanted:
            pairs += [(start + near, start + far) for near, far in within]
        start += count
    return tuple(pairs)


GRADED = graded_pairs(FAMILY)
COMPOSED = composed_pairs(FAMILY)


def _graded(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """One distortion per image, weaker and stronger in the same direction."""
    count = len(images)
    kinds = torch.randint(len(DISTORTIONS), (count,), generator=generator)
    direction = torch.rand(count, generator=generator)
    strong = torch.rand(count, generator=generator)

    def of_share(share: Tensor) -> Parameters:
        return lambda distortion, rows: distortion.with_strength(
            distortion.strength_at(share[rows]), direction[rows]
        )

    return [
        distort(images, kinds, of_share(share)) for share in (weaker(strong, generator), strong)
    ]


def _in_range(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """One distortion per image, in the paper's range."""
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    return [distort(images, kinds, lambda d, rows: d.sample(len(rows), generator))]


def _two(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """Two different distortions per image: each alone, and both in either order."""
    order = _related_order(len(images), generator)
    first, second = (drawn_once(any_strength(generator)) for _ in range(2))
    one = distort(images, order[:, 0], first)
    two = distort(images, order[:, 1], second)
    both = distort_further(one, order[:, 1], second), distort_further(two, order[:, 0], first)
    return [one, two, *both]


def _three(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """Three different distortions per image, one after the other."""
    order = _related_order(len(images), generator)
    draw = distort(images, order[:, 0], any_strength(generator))
    for step in (1, 2):
        draw = distort_further(draw, order[:, step], any_strength(generator))
    return [draw]


def _other(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """One or two other changes per image, weaker and stronger."""
    count = len(images)
    strong = torch.rand(count, generator=generator) ** 1.5
    weak = weaker(strong, generator)
    first, second = torch.randint(len(TRAINED), (2, count), generator=generator)
    # Half of them combine two: there are many more kinds of change than the table lists.
    share = torch.rand(count, generator=generator)
    share = torch.where(torch.rand(count, generator=generator) < 0.5, share, 0)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    draws = []
    for strength in (weak, strong):
        # The same seed twice: the stronger change is more of the same, not another.
        same = torch.Generator().manual_seed(seed)
        changed = _change(images, first, strength, same)
        changed = _change(changed, second, strength * share, same)
        draws.append(Draw(changed, no_amounts(images), torch.ones(count)))
    return draws


def _change(images: Tensor, kinds: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Apply to each image the other change whose number is in `kinds` [N]."""
    changes = list(TRAINED.values())
    changed = images.clone()
    for number, rows in rows_by_kind(kinds):
        changed[rows] = changes[number](images[rows], strength[rows], generator)
    return changed


def _another_image(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """The next image of the batch."""
    other = torch.full((len(images),), UNRELATED)
    return [Draw(images.roll(1, dims=0), no_amounts(images), other)]


def _faint_noise(images: Tensor, generator: torch.Generator) -> list[Draw]:
    """Noise so weak that it should not count."""
    scale = FAINT_NOISE * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = scale * (torch.rand(images.shape, generator=generator) * 2 - 1)
    return [Draw((images + noise).clamp(0, 1), no_amounts(images), torch.zeros(len(images)))]


_MEMBERS: dict[str, Callable[[Tensor, torch.Generator], list[Draw]]] = {
    "graded": _graded,
    "in range": _in_range,
    "two": _two,
    "three": _three,
    "other": _other,
    "another image": _another_image,
    "faint noise": _faint_noise,
}


def _related_order(count: int, generator: torch.Generator) -> Tensor:
    """Return random orders of the six [count, K], half of which begin with similar ones."""
    keys = torch.rand(count, len(DISTORTIONS), generator=generator)
    which = torch.rand(count, generator=generator)
    keys[:, MOVING] -= (which < 0.4).float()[:, None]
    keys[:, TONES] -= (which > 0.9).float()[:, None]
    return keys.argsort(dim=1)
