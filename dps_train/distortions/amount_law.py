"""The amount law: from the strength of a change to its amount, and back.

    amount = log(1 + strength / threshold) / log(1 + reference / threshold)

It is 0 at strength 0 and 1 at the reference strength. It is logarithmic because discrimination
is: turning by 4 degrees instead of 2 is as large a step to the eye as turning by 80 instead of
40. Below the threshold, a strength that is barely visible, it is close to linear.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def amount_of_strength(
    strength: Tensor, threshold: float | Tensor, reference: float | Tensor
) -> Tensor:
    """Return the amounts of strengths >= 0, of the same shape."""
    # Computed first, since exported graphs name their nodes in this order.
    amount = torch.log1p(strength / threshold)
    largest = reference / threshold
    scale = torch.log1p(largest) if isinstance(largest, Tensor) else math.log1p(largest)
    return amount / scale


def strength_of_amount(amount: Tensor, threshold: float, reference: float) -> Tensor:
    """Return the strengths of amounts >= 0, of the same shape."""
    return threshold * torch.expm1(amount * math.log1p(reference / threshold))
