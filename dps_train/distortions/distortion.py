"""The description of a distortion: its parameters, their strength and their amount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_train.distortions.amount_law import amount_of_strength, strength_of_amount


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """One kind of change, with one random parameter per image.

    Attributes:
        name: used in rankings.
        parameter: the parameter that is drawn, with its unit.
        range: parameters that scores are measured on; for the six, the paper's.
        unit: the meaning of strength, with its unit. Strength 0 changes nothing.
        threshold: a strength that is barely visible at 64 pixels.
        reference: the strength whose amount is 1 (`dps_train.distortions.amount_law`).
        limit: the largest strength that training and evaluation use.
        columns: numbers per parameter; two for translate, across and down.
        needs_original: whether it can only be applied to certain unchanged images.
    """

    name: str
    parameter: str
    range: tuple[float, float]
    unit: str
    threshold: float
    reference: float
    limit: float
    columns: int = 1
    _apply: Callable[[Tensor, Tensor], Tensor]
    _strength: Callable[[Tensor], Tensor]
    _with_strength: Callable[[Tensor, Tensor], Tensor]
    needs_original: bool = False

    @property
    def in_pixels(self) -> bool:
        """Whether a strength is in pixels, and so is meant for images of the training's size."""
        return "pixel" in self.unit

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` parameters uniformly from the range: [count, columns]."""
        low, high = self.range
        return low + (high - low) * torch.rand(count, self.columns, generator=generator)

    def with_strength(self, strength: Tensor, direction: Tensor) -> Tensor:
        """Return parameters [N, columns] of given strengths [N].

        `direction` [N] in [0, 1) fixes the rest, such as a sign: equal directions with rising
        strengths change an image the same way.
        """
        return self._with_strength(strength, direction)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Distort float RGB images [N, 3, H, W] in [0, 1], each by its own parameters.

        Device and dtype are kept; the input is not modified.
        """
        if len(parameters) != len(images):
            raise ValueError(
                f"expected {len(images)} parameters, one per image, got {len(parameters)}"
            )
        return self._apply(images, parameters)

    def strength(self, parameters: Tensor) -> Tensor:
        """Return the strength [N] of parameters [N, columns], in `unit`; 0 = no change."""
        return self._strength(parameters)

    def strength_at(self, share: Tensor) -> Tensor:
        """Return the strengths at given shares, 0 to 1, of the amount of `limit`."""
        return strength_of_amount(share, self.threshold, self.limit)

    def amount(self, parameters: Tensor) -> Tensor:
        """Return the amount [N] that a metric should report for parameters [N, columns]."""
        return amount_of_strength(self.strength(parameters), self.threshold, self.reference)


def quantize(images: Tensor) -> Tensor:
    """Round float images in [0, 1] to the 256 levels of image files."""
    return torch.round(images.clamp(0, 1) * 255) / 255
