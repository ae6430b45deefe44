"""Importances from judged triplets: a convex problem of K + 1 numbers."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

RIDGE = 0.01
"""Weight of the squared importances, over the number of triplets: what no triplet tells apart
should not matter, and what all agree on should not grow without end."""


def fit_importances(first: Tensor, second: Tensor, judge: Tensor) -> list[float]:
    """Fit how much each amount counts to judgements, by logistic regression.

    Args:
        first: amounts of the first candidates [T, A].
        second: likewise of the second ones.
        judge: in [0, 1]: 0 where the first is closer, 1 where the second is [T].

    Returns:
        One number >= 0 for each amount; the largest is 1, all are 1 where nothing can be
        told.
    """
    difference = (first - second).double().numpy()
    target = judge.double().numpy()
    ridge = RIDGE / len(target)

    def loss(importances: np.ndarray) -> tuple[float, np.ndarray]:
        logits = difference @ importances
        value = np.mean(np.logaddexp(0, logits) - target * logits)
        slope = difference.T @ (1 / (1 + np.exp(-logits)) - target) / len(target)
        return (
            float(value + ridge * importances @ importances),
            slope + 2 * ridge * importances,
        )

    count = difference.shape[1]
    fitted = minimize(
        loss, np.ones(count), jac=True, method="L-BFGS-B", bounds=[(0, None)] * count
    ).x
    largest = fitted.max()
    return (fitted / largest).tolist() if largest > 0 else [1.0] * count
