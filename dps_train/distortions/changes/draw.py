"""One random change: how strong it is, and everything else that is drawn for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dps_infer.arrays import Pixels

NORMALS = 8
MODES = 5040
"""Divisible by every number of modes that a kind may have."""

FAINTEST = 0.015


@dataclass(frozen=True)
class Scene:
    """A picture to change.

    Attributes:
        pixels: uint8 RGB [S, S, 3], of which the middle is looked at.
        side: of the middle, in pixels.
        other: another picture [side, side, 3].
    """

    pixels: Pixels
    side: int
    other: Pixels

    @property
    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of the middle."""
        start = (self.pixels.shape[0] - self.side) // 2
        return np.s_[start : start + self.side, start : start + self.side]

    def middle(self, pixels: Pixels | None = None) -> Pixels:
        """Return the middle of the picture, or of a changed version of it."""
        return np.ascontiguousarray((self.pixels if pixels is None else pixels)[self.inside])


@dataclass(frozen=True)
class Draw:
    """What is drawn for one change.

    Attributes:
        share: strength in (0, 1], from barely visible to gross; equal steps look about equal.
        sign: 1 the way of the kind's name, -1 the other way, for kinds with two.
        mode: number of the variant, taken modulo the variants that a kind has.
        normals: standard normal numbers [`NORMALS`].
        seed: of noise and the like.
        factor: below 1 for the weaker version of another draw, whose share is smaller too.
    """

    share: float
    sign: int
    mode: int
    normals: tuple[float, ...]
    seed: int
    factor: float = 1.0

    def rng(self) -> np.random.Generator:
        """Return the same random numbers at every strength."""
        return np.random.default_rng(self.seed)

    def weaker(self, factor: float) -> Draw:
        """Return the same change, weaker."""
        return replace(self, share=self.share * factor, factor=self.factor * factor)

    @property
    def angle(self) -> float:
        """A direction in radians."""
        return math.pi * math.erf(self.normals[0] / math.sqrt(2))


Change = Callable[[Pixels, Draw, Scene], tuple[Pixels, float]]
"""Changes pixels; the second result is the strength in the kind's unit, or NaN."""

UNKNOWN = math.nan


def random_draw(rng: np.random.Generator) -> Draw:
    """Draw a change; half of them have an even share, half an even logarithm."""
    even = rng.random() < 0.5
    share = rng.uniform(FAINTEST, 1) if even else math.exp(rng.uniform(math.log(FAINTEST), 0))
    return Draw(
        share=share,
        sign=1 if rng.random() < 0.5 else -1,
        mode=int(rng.integers(MODES)),
        normals=tuple(rng.standard_normal(NORMALS).tolist()),
        seed=int(rng.integers(2**31)),
    )


def between(low: float, high: float, share: float) -> float:
    """Return the value at a share of the way from low to high in logarithms."""
    return low * (high / low) ** share


def rounded(values: np.ndarray) -> Pixels:
    """Return values on a scale of 0 to 255 as uint8: rounded, and clipped at both ends."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
