"""Custom distortions from a Python function that changes one image by a given strength."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.contexts.ranking import OTHER
from dps_infer.errors import UsageError
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import NAMES

ChangeImage = Callable[..., Pixels]
"""function(pixels, strength) or function(pixels, strength, rng)."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

SEEDS = 2**24
"""Seeds that a parameter in single precision can represent."""


class StrengthDistortion(Distortion):
    """A distortion whose parameters [N, 2] are a strength and a seed in [0, 1).

    `columns` counts the strength only.
    """

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw strengths uniformly from the range: [count, 2]."""
        low, high = self.range
        drawn = torch.rand(count, 2, generator=generator)
        drawn[:, 0] = low + (high - low) * drawn[:, 0]
        return drawn


def distortion(
    *,
    unit: str,
    range: tuple[float, float],
    threshold: float,
    reference: float,
    limit: float | None = None,
    name: str | None = None,
) -> Callable[[ChangeImage], Distortion]:
    """Turn a function into a distortion, as a decorator.

    The function takes uint8 RGB pixels [H, W, 3] of any size, a strength, and optionally a
    `numpy.random.Generator`, and returns changed pixels of the same shape and type. More
    strength must change more; the same generator must give the same change. Strength 0
    means no change; the function is never called with it.

    Args:
        unit: the meaning of strength, with its unit, for people.
        range: the strengths that 2AFC scores are measured on, from clearly visible to the
            strongest that occurs.
        threshold: a strength that is barely visible at 64 pixels. Amounts grow linearly below it
            and logarithmically above: log(1 + strength / threshold), scaled.
        reference: the strength at which the amount is 1.
        limit: the largest strength in training and evaluation; by default the end of `range`.
        name: used in rankings; by default the function's name.

    Raises:
        UsageError: the numbers contradict each other, or the name cannot be used in rankings.
    """

    def decorate(function: ChangeImage) -> Distortion:
        called = function.__name__ if name is None else name
        takes_rng = len(inspect.signature(function).parameters) > 2
        return strength_distortion(
            called,
            _ImageFunction(called, function, takes_rng),
            unit=unit,
            range=range,
            threshold=threshold,
            reference=reference,
            limit=range[1] if limit is None else limit,
        )

    return decorate


def strength_distortion(
    name: str,
    apply: Callable[[Tensor, Tensor], Tensor],
    *,
    unit: str,
    range: tuple[float, float],
    threshold: float,
    reference: float,
    limit: float,
    needs_original: bool = False,
) -> StrengthDistortion:
    """Check and build a distortion; see `distortion` for the arguments and errors.

    `apply` receives float RGB images [N, 3, H, W] in [0, 1], and parameters [N, 2].
    """
    _check_name(name)
    low, high = range
    numbers = {"threshold": threshold, "reference": reference, "range": low, "limit": limit}
    for what, number in {**numbers, "end of the range": high}.items():
        if not (math.isfinite(number) and (number > 0 or (what == "range" and number >= 0))):
            raise UsageError(
                f"distortion {name}: its {what} is {number:g}, expected a strength above 0"
            )
    if not (low < high <= limit and threshold <= reference):
        raise UsageError(
            f"distortion {name}: range {low:g} to {high:g}, limit {limit:g}, threshold "
            f"{threshold:g}, reference {reference:g}; expected the range to rise up to the limit "
            "at most, and the threshold not above the reference"
        )
    return StrengthDistortion(
        name=name,
        parameter=f"strength: {unit}",
        range=(float(low), float(high)),
        unit=unit,
        threshold=float(threshold),
        reference=float(reference),
        limit=float(limit),
        needs_original=needs_original,
        _apply=apply,
        _strength=lambda parameters: parameters[:, 0],
        _with_strength=lambda strength, direction: torch.stack([strength, direction], dim=1),
    )


def _check_name(name: str) -> None:
    if name in (*NAMES, OTHER):
        raise UsageError(f"there is a distortion called {name} already: choose another name")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name for a distortion: expected up to 32 lower-case letters, "
            "digits, - and _, beginning with a letter"
        )


@dataclass(frozen=True)
class _ImageFunction:
    """Applies a user's function to the images of a batch."""

    name: str
    function: ChangeImage
    takes_rng: bool

    def __call__(self, images: Tensor, parameters: Tensor) -> Tensor:
        planes = (images * 255).round().to(torch.uint8)
        pixels = planes.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        changed = [
            self._change(image, strength, seed) if strength > 0 else image
            for image, (strength, seed) in zip(pixels, parameters.tolist(), strict=True)
        ]
        return (torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).float() / 255).to(images)

    def _change(self, image: Pixels, strength: float, seed: float) -> Pixels:
        rng = [np.random.default_rng(int(seed * SEEDS))] if self.takes_rng else []
        try:
            changed = np.asarray(self.function(image.copy(), strength, *rng))
        # The user's function may raise anything; the message names it.
        except Exception as error:
            raise UsageError(
                f"distortion {self.name} failed at strength {strength:g} on uint8 pixels "
                f"{list(image.shape)}: {type(error).__name__}: {error}"
            ) from error
        if changed.shape != image.shape or changed.dtype != np.uint8:
            raise UsageError(
                f"distortion {self.name} turned uint8 pixels {list(image.shape)} into "
                f"{changed.dtype} {list(changed.shape)}: expected the same shape and type"
            )
        return np.ascontiguousarray(changed)
