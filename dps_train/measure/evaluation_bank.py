"""The evaluation bank: changes of held-out images, compared once for all contexts and heads.

A distortion that only some of the images can show (`dps_train.custom.recording`) is measured on
these: parameters of other images are NaN, and so is everything that follows from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dps_infer.progress import track
from dps_train.distortions.distortion import Distortion, quantize
from dps_train.distortions.other.kinds import HELD_OUT
from dps_train.distortions.paper import DISTORTIONS

DRAWS = 4
GRADES = 10
BATCH = 32


class Distances(Protocol):
    """Compares images with changed versions, like `FeatureDistances`."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the representation that is compared, of float RGB [N, 3, H, W] in [0, 1]."""
        ...

    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return z [N, D] of the `maps` of originals and changed images, on the CPU."""
        ...


@dataclass(frozen=True)
class EvaluationBank:
    """Channel distances of held-out images to changes of them; M images, K distortions.

    Attributes:
        names: of the distortions.
        drawn: draws in the ranges [K, DRAWS, M, D].
        drawn_amounts: their true amounts [K, DRAWS, M].
        graded: rising strengths [K, GRADES, M, D].
        strengths: of `graded` [K, GRADES, M].
        composed: the second distortion on top of the first, both as in the first draws
            [K, K, M, D]; the diagonal is unused.
        noise: uniform noise of half a gray level [M, D]; NaN if it cannot be represented.
        unseen: per held-out kind of change, rising strengths [GRADES, M, D].
    """

    names: tuple[str, ...]
    drawn: Tensor
    drawn_amounts: Tensor
    graded: Tensor
    strengths: Tensor
    composed: Tensor
    noise: Tensor
    unseen: dict[str, Tensor]

    def mapped(self, function: Callable[[Tensor], Tensor]) -> EvaluationBank:
        """Return the bank with `function` applied to every tensor [..., D]."""
        return dataclasses.replace(
            self,
            drawn=function(self.drawn),
            graded=function(self.graded),
            composed=function(self.composed),
            noise=function(self.noise),
            unseen={name: function(z) for name, z in self.unseen.items()},
        )


def build_evaluation_bank(
    distances: Distances,
    images: Tensor,
    generator: torch.Generator,
    *,
    faint_noise: bool = True,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> EvaluationBank:
    """Draw changes of held-out images [M, 3, size, size], and compare each with its image.

    `faint_noise` tells whether `distances` sees noise below one of 256 levels.
    """
    count, kinds = len(images), len(distortions)
    names = tuple(distortion.name for distortion in distortions)
    reference = [distances.maps(batch) for batch in images.split(BATCH)]

    def compared(changed: Tensor) -> Tensor:
        batches = changed.split(BATCH)
        return torch.cat([distances.z(r, b) for r, b in zip(reference, batches, strict=True)])

    def distorted(distortion: Distortion, originals: Tensor, drawn: Tensor) -> Tensor:
        z = compared(quantize(distortion.apply(originals, drawn)))
        return z.masked_fill(_not_shown(distortion, drawn), torch.nan)

    parameters = [[d.sample(count, generator) for _ in range(DRAWS)] for d in distortions]
    drawn, graded, strengths, composed = [], [], [], []
    for number in track(range(kinds), "held-out images"):
        distortion, draws = distortions[number], parameters[number]
        drawn += [distorted(distortion, images, p) for p in draws]
        direction = torch.rand(count, generator=generator)
        for strength in _rising_strengths(distortion):
            graded_parameters = distortion.with_strength(strength.expand(count), direction)
            graded.append(distorted(distortion, images, graded_parameters))
            strengths.append(distortion.strength(graded_parameters))
        first = distortion.apply(images, draws[0])
        for other in range(kinds):
            # The diagonal only keeps the table square.
            if other == number:
                composed.append(drawn[-DRAWS])
            elif distortions[other].needs_original:
                composed.append(torch.full_like(drawn[-DRAWS], torch.nan))
            else:
                z = distorted(distortions[other], first, parameters[other][0])
                composed.append(z.masked_fill(_not_shown(distortion, draws[0]), torch.nan))
    # Not quantized: rounding would undo noise this weak, and its effect on the metric counts.
    noisy = images + (torch.rand(images.shape, generator=generator) - 0.5) / 255
    noise = compared(noisy) if faint_noise else torch.full_like(drawn[0], torch.nan)
    grades = torch.linspace(1 / GRADES, 1, GRADES)
    unseen = {
        name: torch.stack(
            [compared(quantize(change(images, grade.expand(count), generator))) for grade in grades]
        )
        for name, change in HELD_OUT.items()
        if name not in names
    }
    amounts = [
        torch.stack([distortion.amount(p) for p in draws])
        for distortion, draws in zip(distortions, parameters, strict=True)
    ]
    return EvaluationBank(
        names=names,
        drawn=torch.stack(drawn).unflatten(0, (kinds, DRAWS)),
        drawn_amounts=torch.stack(amounts),
        graded=torch.stack(graded).unflatten(0, (kinds, GRADES)),
        strengths=torch.stack(strengths).unflatten(0, (kinds, GRADES)),
        composed=torch.stack(composed).unflatten(0, (kinds, kinds)),
        noise=noise,
        unseen=unseen,
    )


def _not_shown(distortion: Distortion, parameters: Tensor) -> Tensor:
    """Return which images [M, 1] cannot show a distortion."""
    return distortion.strength(parameters).isnan()[:, None]


def _rising_strengths(distortion: Distortion) -> Tensor:
    """Return strengths [GRADES] from the threshold to the limit, evenly spaced in amount."""
    lowest = math.log(2) / math.log1p(distortion.limit / distortion.threshold)
    return distortion.strength_at(lowest + (1 - lowest) * torch.linspace(0, 1, GRADES))
