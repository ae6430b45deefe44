"""Random changes of images to train on, with the amounts that a metric should report.

For each image a fixed *family* of changes is drawn (`FAMILY`): single distortions at two
strengths, single ones in the paper's range, two in turn with each of them alone, three in
turn, other kinds of change at two strengths, another image, and noise too faint to count.
Families make two properties trainable that single pairs do not show: more of a change is
farther away (`GRADED`), and two changes are at least as far as either alone (`COMPOSED`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_train.distortions.paper import DISTORTIONS, NAMES, Distortion, quantize
from dps_train.distortions.unnamed import TRAINED

FAINT_NOISE = 1 / 255
"""The strongest of the noise that should count as nothing, in half ranges."""

INVISIBLE = 0.2 / 255
"""Mean absolute change of an image at which amounts count half: a hue turn of a grey image is
none."""

UNRELATED = 3.0
"""What another image shows of `other`, as a share: more than any change of one."""

MOVING = tuple(NAMES.index(name) for name in ("rotate", "translate", "zoom"))
"""Distortions that are hard to tell apart once they are combined."""

TONES = tuple(NAMES.index(name) for name in ("darken", "color"))
"""Likewise."""

Kinds = tuple[tuple[str, int], ...]
"""Kinds of draw in a family, each with the number of changed images it gives."""

FAMILY: Kinds = (
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


@dataclass(frozen=True)
class Draw:
    """Changed images, one family member for each of N images, and what was done to them.

    Attributes:
        images: float RGB [N, 3, H, W] in [0, 1], rounded to 256 levels but for faint noise.
        amounts: [N, K], of each distortion.
        other: [N], the share of the difference that is of other kinds
            (`dps_train.model.heads.AdditiveHead`): 0, 1, or `UNRELATED` for another image.
    """

    images: Tensor
    amounts: Tensor
    other: Tensor


def draw_family(images: Tensor, generator: torch.Generator, kinds: Kinds = FAMILY) -> list[Draw]:
    """Draw a family of changes of each image, in the order of `kinds`."""
    return [
        Draw(changed if kind == "faint noise" else quantize(changed), amounts, other)
        for kind, _ in kinds
        for changed, amounts, other in _KINDS[kind](images, generator)
    ]


def draw_moved_windows(surroundings: Tensor, side: int, generator: torch.Generator) -> list[Draw]:
    """Turn, shift or enlarge what lies under a window, weaker and stronger.

    Where `draw_family` lets black move in, here the surroundings do: that is how a part of
    a larger image looks when the image moves.

    Args:
        surroundings: float RGB [N, 3, S, S]; the window is its middle.
        side: of the window, in pixels.
        generator: draws kinds, strengths and directions.

    Returns:
        Two draws of windows [N, 3, side, side], the second stronger in the same direction.
    """
    count, full = len(surroundings), surroundings.shape[-1]
    kinds = torch.tensor(MOVING)[torch.randint(len(MOVING), (count,), generator=generator)]
    direction = torch.rand(count, generator=generator)
    strong = torch.rand(count, generator=generator)
    weak = strong * (0.2 + 0.7 * torch.rand(count, generator=generator))
    draws = []
    for share in (weak, strong):
        moved = surroundings.clone()
        amounts = _no_amounts(surroundings)
        for number in MOVING:
            distortion = DISTORTIONS[number]
            rows = torch.nonzero(kinds == number)[:, 0]
            if len(rows) == 0:
                continue
            drawn = distortion.with_strength(
                strengths_of_amounts(distortion, share[rows]), direction[rows]
            )
            amounts[rows, number] = distortion.amount(drawn)
            # A shift is a fraction of the side, and the window's side is meant.
            scaled = drawn * side / full if distortion.name == "translate" else drawn
            moved[rows] = distortion.apply(surroundings[rows], scaled)
        draws.append(Draw(quantize(middle(moved, side)), amounts, torch.zeros(count)))
    return draws


def middle(images: Tensor, side: int) -> Tensor:
    """Cut the middle [N, 3, side, side] out of images."""
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def strengths_of_amounts(distortion: Distortion, share: Tensor) -> Tensor:
    """Return strengths at given shares (0 to 1) of the way to the largest amount."""
    top = math.log1p(distortion.limit / distortion.threshold)
    return distortion.threshold * torch.expm1(share * top)


def graded_pairs(kinds: Kinds) -> Pairs:
    """Return pairs of members (weaker, stronger) of one change: the second should be farther."""
    return _pairs(kinds, ("graded", "other"), within=((0, 1),))


def composed_pairs(kinds: Kinds) -> Pairs:
    """Return pairs (one change alone, two in turn): the second should be no nearer."""
    return _pairs(kinds, ("two",), within=((0, 2), (1, 2), (0, 3), (1, 3)))


def _pairs(kinds: Kinds, wanted: tuple[str, ...], within: Pairs) -> Pairs:
    pairs: list[tuple[int, int]] = []
    start = 0
    for kind, count in kinds:
        if kind in wanted:
            pairs += [(start + near, start + far) for near, far in within]
        start += count
    return tuple(pairs)


Pairs = tuple[tuple[int, int], ...]
"""Numbers of two members of a family."""

GRADED = graded_pairs(FAMILY)
COMPOSED = composed_pairs(FAMILY)

Member = tuple[Tensor, Tensor, Tensor]
"""Changed images, amounts of the distortions and the share of `other`: see `Draw`."""


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

    return [single(images, kinds, towards(share)) for share in (weak, strong)]


def _in_range(images: Tensor, generator: torch.Generator) -> list[Member]:
    """One distortion an image, in the paper's range."""
    kinds = torch.randint(len(DISTORTIONS), (len(images),), generator=generator)
    return [single(images, kinds, lambda d, rows: d.sample(len(rows), generator))]


def _two(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Two different distortions an image: each alone, and both in either order."""
    order = _related_order(len(images), generator)
    first, second = (once(any_strength(generator)) for _ in range(2))
    one = single(images, order[:, 0], first)
    two = single(images, order[:, 1], second)
    one_two, more, none = single(one[0], order[:, 1], second)
    two_one, less, _ = single(two[0], order[:, 0], first)
    return [one, two, (one_two, one[1] + more, none), (two_one, two[1] + less, none)]


def _three(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Three different distortions an image, in turn."""
    order = _related_order(len(images), generator)
    changed, amounts, other = single(images, order[:, 0], any_strength(generator))
    for step in (1, 2):
        changed, more, _ = single(changed, order[:, step], any_strength(generator))
        amounts = amounts + more
    return [(changed, amounts, other)]


def _other(images: Tensor, generator: torch.Generator) -> list[Member]:
    """Other kinds of change, one or two an image, weaker and stronger."""
    count = len(images)
    strong = torch.rand(count, generator=generator) ** 1.5
    weak = strong * (0.2 + 0.7 * torch.rand(count, generator=generator))
    first, second = torch.randint(len(TRAINED), (2, count), generator=generator)
    # Half of them two kinds in turn: there are many more kinds of change than can be listed.
    share = torch.rand(count, generator=generator)
    share = torch.where(torch.rand(count, generator=generator) < 0.5, share, 0)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    members = []
    for strength in (weak, strong):
        # The same seed twice: the stronger change is more of the same, not another.
        same = torch.Generator().manual_seed(seed)
        changed = _changed(images, first, strength, same)
        changed = _changed(changed, second, strength * share, same)
        members.append((changed, _no_amounts(images), torch.ones(count)))
    return members


def _changed(images: Tensor, kinds: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Apply to each image the other kind of change whose number `kinds` [N] gives."""
    changed = images.clone()
    for number, change in enumerate(TRAINED.values()):
        rows = torch.nonzero(kinds == number)[:, 0]
        if len(rows):
            changed[rows] = change(images[rows], strength[rows], generator)
    return changed


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


def single(images: Tensor, kinds: Tensor, parameters: Parameters) -> Member:
    """Apply to each image the distortion whose number `kinds` [N] gives."""
    changed = images.clone()
    amounts = _no_amounts(images)
    for number, distortion in enumerate(DISTORTIONS):
        rows = torch.nonzero(kinds == number)[:, 0]
        if len(rows):
            drawn = parameters(distortion, rows)
            changed[rows] = distortion.apply(images[rows], drawn)
            amounts[rows, number] = distortion.amount(drawn)
    visible = (changed - images).abs().mean(dim=(1, 2, 3))
    return changed, amounts * (visible / (visible + INVISIBLE))[:, None], torch.zeros(len(images))


def once(draw: Parameters) -> Parameters:
    """Return parameters that are drawn at the first call, and given again after that."""
    drawn: dict[str, Tensor] = {}

    def remembered(distortion: Distortion, rows: Tensor) -> Tensor:
        if distortion.name not in drawn:
            drawn[distortion.name] = draw(distortion, rows)
        return drawn[distortion.name]

    return remembered


def any_strength(generator: torch.Generator) -> Parameters:
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


def _related_order(count: int, generator: torch.Generator) -> Tensor:
    """Return random orders of the six [count, K], half of which begin with related ones."""
    keys = torch.rand(count, len(DISTORTIONS), generator=generator)
    which = torch.rand(count, generator=generator)
    keys[:, MOVING] -= (which < 0.4).float()[:, None]
    keys[:, TONES] -= (which > 0.9).float()[:, None]
    return keys.argsort(dim=1)


def _no_amounts(images: Tensor) -> Tensor:
    return torch.zeros(len(images), len(DISTORTIONS))
