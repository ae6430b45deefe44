"""The choice of the next triplet."""

from __future__ import annotations

import numpy as np

from dps_train.judgements.importances import Numbers

WRONG = 0.1
"""Assumed share of answers that contradict the person's own importances, on any question."""

DECISIVE = 4.0
"""How fast answers become certain with the difference of the distances. Fitted importances make
judges look less decisive than they are, because wrong answers affect all of them."""


def information_gain(differences: Numbers, samples: Numbers) -> Numbers:
    """Return the information in nats that each answer is expected to give about the importances.

    It is the entropy of the answer minus its entropy if the importances were known (Houlsby et
    al. 2011, arXiv 1112.5745): large where samples [S, A] of the posterior give certain but
    different answers to `dps_train.judgements.importances.scaled_differences` [T, A].
    """
    relative = samples / samples.mean(axis=1, keepdims=True)
    certain = 0.5 + 0.5 * np.tanh(DECISIVE * (differences @ relative.T) / 2)
    chosen = WRONG + (1 - 2 * WRONG) * certain
    gained: Numbers = _entropy(chosen.mean(axis=1)) - _entropy(chosen).mean(axis=1)
    return gained


def _entropy(probability: Numbers) -> Numbers:
    entropy: Numbers = -(
        probability * np.log(probability) + (1 - probability) * np.log1p(-probability)
    )
    return entropy
