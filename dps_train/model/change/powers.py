"""Roots whose slope is 0 at 0, where it would be infinite: images are optimized through them."""

from __future__ import annotations

from torch import Tensor


def power(values: Tensor, exponent: float) -> Tensor:
    """Return powers of values >= 0; where a value is 0, its gradient is 0 as well.

    An infinite slope times a gradient of 0 would be NaN.
    """
    if not values.requires_grad:
        return values.pow(exponent)
    zero = values == 0
    return values.masked_fill(zero, 1).pow(exponent).masked_fill(zero, 0)


def root(values: Tensor) -> Tensor:
    """Return square roots of values >= 0; see `power`."""
    return power(values, 0.5)
