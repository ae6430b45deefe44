"""Random distortions of batches of images, with the amounts that a metric should report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dps_train.distortions.distortion import Distortion, quantize
from dps_train.distortions.paper import DISTORTIONS, NAMES

INVISIBLE = 0.2 / 255
"""Mean absolute change of an image at which amounts are halved: a hue shift of a gray image, for
example, changes nothing."""

MOVING = tuple(NAMES.index(name) for name in ("rotate", "translate", "zoom"))
"""Distortions that are hard to tell apart once they are combined."""


@dataclass(frozen=True)
class Draw:
    """One changed version of each of N images, and the changes that were made.

    Attributes:
        images: float RGB [N, 3, H, W] in [0, 1].
        amounts: of each distortion [N, K].
        other: share of other changes in the difference [N]: 0, 1, or more for an unrelated
            image (`dps_train.model.heads.AdditiveHead`).
    """

    images: Tensor
    amounts: Tensor
    other: Tensor


def draw_moved_windows(surroundings: Tensor, side: int, generator: torch.Generator) -> list[Draw]:
    """Rotate, shift or enlarge the content of a window, once weaker and once stronger.

    In a family (`dps_train.distortions.families`) the uncovered border is black; here it shows the
    surroundings, as in a part of a larger image that moves.

    Args:
        surroundings: float RGB [N, 3, S, S]; the window is its middle.
        side: of the window, in pixels.
        generator: draws distortions, strengths and directions.

    Returns:
        Two draws of windows [N, 3, side, side], the second stronger in the same direction.
    """
    count, full = len(surroundings), surroundings.shape[-1]
    kinds = torch.tensor(MOVING)[torch.randint(len(MOVING), (count,), generator=generator)]
    direction = torch.rand(count, generator=generator)
    strong = torch.rand(count, generator=generator)
    draws = []
    for share in (weaker(strong, generator), strong):
        moved = surroundings.clone()
        amounts = no_amounts(surroundings)
        for number, rows in rows_by_kind(kinds):
            distortion = DISTORTIONS[number]
            drawn = distortion.with_strength(distortion.strength_at(share[rows]), direction[rows])
            amounts[rows, number] = distortion.amount(drawn)
            # A shift is a fraction of the side: here, of the window's.
            scaled = drawn * side / full if distortion.name == "translate" else drawn
            moved[rows] = distortion.apply(surroundings[rows], scaled)
        draws.append(Draw(quantize(middle(moved, side)), amounts, torch.zeros(count)))
    return draws


def middle(images: Tensor, side: int) -> Tensor:
    """Crop the middle [N, 3, side, side] of images."""
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


Parameters = Callable[[Distortion, Tensor], Tensor]
"""Draws the parameters [n, columns] of a distortion for some rows [n] of a batch."""


def distort(images: Tensor, kinds: Tensor, parameters: Parameters) -> Draw:
    """Apply to each image the distortion whose number is in `kinds` [N]."""
    changed = images.clone()
    amounts = no_amounts(images)
    for number, rows in rows_by_kind(kinds):
        distortion = DISTORTIONS[number]
        drawn = parameters(distortion, rows)
        changed[rows] = distortion.apply(images[rows], drawn)
        amounts[rows, number] = distortion.amount(drawn)
    visible = (changed - images).abs().mean(dim=(1, 2, 3))
    seen = (visible / (visible + INVISIBLE))[:, None]
    return Draw(changed, amounts * seen, torch.zeros(len(images)))


def distort_further(draw: Draw, kinds: Tensor, parameters: Parameters) -> Draw:
    """Distort the images of a draw again; the amounts add up."""
    further = distort(draw.images, kinds, parameters)
    return replace(further, amounts=draw.amounts + further.amounts)


def rows_by_kind(kinds: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each number in `kinds` [N], in rising order, with the rows that have it."""
    for number in kinds.unique().tolist():
        yield number, torch.nonzero(kinds == number)[:, 0]


def weaker(strong: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random share of each strength."""
    return strong * (0.2 + 0.7 * torch.rand(len(strong), generator=generator))


def drawn_once(draw: Parameters) -> Parameters:
    """Return parameters that are drawn at the first call and repeated at later ones."""
    drawn: dict[str, Tensor] = {}

    def repeated(distortion: Distortion, rows: Tensor) -> Tensor:
        if distortion.name not in drawn:
            drawn[distortion.name] = draw(distortion, rows)
        return drawn[distortion.name]

    return repeated


def any_strength(generator: torch.Generator) -> Parameters:
    """Draw half of the parameters in the paper's range, the rest over all amounts from 0 up."""

    def draw(distortion: Distortion, rows: Tensor) -> Tensor:
        count = len(rows)
        in_range = distortion.sample(count, generator)
        share = torch.rand(count, generator=generator)
        spread = distortion.with_strength(
            distortion.strength_at(share), torch.rand(count, generator=generator)
        )
        return torch.where(
            (torch.rand(count, generator=generator) < 0.5)[:, None], in_range, spread
        )

    return draw


def no_amounts(images: Tensor) -> Tensor:
    """Return amounts [N, K] of 0."""
    return torch.zeros(len(images), len(DISTORTIONS))
