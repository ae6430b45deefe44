"""Which triplet to ask for next, and how sure a fit is."""

from __future__ import annotations

import numpy as np

from dps_train.judgements.importances import Numbers

WRONG = 0.1
"""How often a person is taken to answer against their own importances, whatever is asked."""

DECISIVE = 4.0
"""How fast an answer becomes sure with the difference of the distances. Fitted importances make
judges less decisive than they are: wrong answers weigh in all of them."""


def information(differences: Numbers, samples: Numbers) -> Numbers:
    """Return how much each answer is expected to tell about the importances, in nats.

    That is how unsure the answer is, less how unsure it would be if the importances were
    known (Houlsby et al. 2011, arXiv 1112.5745). It is large where importances that are all
    possible give clear, but different answers.

    Args:
        differences: of triplets, from `dps_train.judgements.importances.scaled_differences` [T, A].
        samples: importances that are possible [S, A].
    """
    relative = samples / samples.mean(axis=1, keepdims=True)
    sure = 0.5 + 0.5 * np.tanh(DECISIVE * (differences @ relative.T) / 2)
    chosen = WRONG + (1 - 2 * WRONG) * sure
    gained: Numbers = _entropy(chosen.mean(axis=1)) - _entropy(chosen).mean(axis=1)
    return gained


def sureness(differences: Numbers, mode: Numbers, samples: Numbers) -> float:
    """Return in what share of triplets the fit is expected to decide as the person would.

    Args:
        differences: of triplets [T, A].
        mode: the fitted importances [A].
        samples: importances that are possible [S, A].
    """
    decided = differences @ mode > 0
    return float(np.mean((differences @ samples.T > 0) == decided[:, None]))


def _entropy(probability: Numbers) -> Numbers:
    entropy: Numbers = -(
        probability * np.log(probability) + (1 - probability) * np.log1p(-probability)
    )
    return entropy
