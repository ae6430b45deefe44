"""The loss of the embedded network: amounts of the paper's distortions, for all contexts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.distortions.families import Pairs
from dps_train.model.heads import LEARNING_KNEE, AdditiveHead

BETA = 0.1
"""Error at which the losses change from squared to linear."""

ABSENT_WEIGHT = 4.0
"""Weight of amounts whose target is 0: a context may weigh a false amount a hundred times as much
as the true one."""

ORDER_MARGIN = 0.02
"""Margin in log distance between a change and a stronger one."""

RISE = 0.005
"""Margin by which every amount of a stronger change should exceed that of a weaker one. Where both
are 0, this adds a constant to the loss."""

CONTEXTS_PER_BATCH = 32
CONTEXT_SLACK = 1 / 512
"""Added to distances before their logarithms are compared."""


@dataclass(frozen=True)
class Emphasis:
    """Weights of the parts of the loss.

    One distortion hides others in a combination, so their amounts can only be guessed. More weight
    on combinations improves composition (two changes are at least as far as one), but makes it
    harder to name single changes.

    Attributes:
        combined: weight of a pair by its number of distortions, from none to three.
        gain: factor of the target amounts in combinations, since hidden distortions are
            underestimated.
        order: weight of composition.
        other: weight of `other` if its target is above 0.
        alike: factor of the loss of named amounts for other kinds of change. Bending resembles
            shifting: a full penalty on both readings would leave none.
        graded: weight of a stronger change being farther.
        rising: weight of a stronger change having no smaller amounts: similar kinds of change
            must not replace each other as they grow.
    """

    combined: tuple[float, float, float, float]
    gain: float
    order: float
    other: float
    alike: float
    graded: float
    rising: float


PAIRS = Emphasis(
    combined=(1.0, 1.0, 0.8, 0.4),
    gain=2.0,
    order=0.3,
    other=2.0,
    alike=1.0,
    graded=1.0,
    rising=0.0,
)
"""For the pair encoder, which sees motion."""

SETTLED = replace(PAIRS, alike=0.15, graded=4.0, rising=10.0)
"""For the pair encoder, after it has learned to tell kinds of change apart."""

BALANCED = replace(SETTLED, combined=(1.0, 1.0, 0.4, 0.15), gain=2.1, rising=5.0)
"""For the pair encoder's head, after the encoder has learned combinations."""


def additive_loss(
    head: AdditiveHead,
    z: Tensor,
    targets: Tensor,
    contexts: Tensor,
    emphasis: Emphasis,
    graded: Pairs,
    composed: Pairs,
) -> Tensor:
    """Return the training loss of a batch of families of changes.

    It has three parts: the error of each amount; the error of the log distance in random
    contexts, to which a small amount of an important distortion matters as much as a large one of
    an unimportant distortion; and the order of the family members in `graded` and `composed`.

    Args:
        head: the head.
        z: channel distances [B, F, D].
        targets: amounts, and the share of `other` [B, F, K + 1].
        contexts: importances [R, K + 1].
        emphasis: weights of the parts.
        graded: from `dps_train.distortions.families.graded_pairs`.
        composed: from `dps_train.distortions.families.composed_pairs`.
    """
    evidence, visible = head.evidence(z, LEARNING_KNEE), head.visible(z)
    targets = head.amounts_of(targets, z, LEARNING_KNEE)
    weights = torch.tensor(emphasis.combined)[(targets > 0).sum(dim=-1)]
    amount_loss = _amount_loss(evidence * visible, targets, emphasis)
    alike = torch.where(_is_other(targets), emphasis.alike, 1.0)
    # A soft cut-off keeps a gradient for amounts that are wrongly read as 0.
    amounts = F.softplus(evidence, beta=20) * visible
    distances = amounts @ contexts.T
    logs = torch.log(distances + CONTEXT_SLACK)
    difference = logs - torch.log(targets @ contexts.T + CONTEXT_SLACK)
    context_loss = F.smooth_l1_loss(
        difference, torch.zeros_like(difference), beta=BETA, reduction="none"
    ).mean(dim=-1)
    weaker, stronger = torch.tensor(graded).T
    graded_loss = F.relu(logs[:, weaker] - logs[:, stronger] + ORDER_MARGIN).mean()
    rising_loss = F.relu(amounts[:, weaker] - amounts[:, stronger] + RISE).sum(dim=-1).mean()
    alone, together = torch.tensor(composed).T
    # Only the combination gets a gradient: single changes are read well, and should stay so.
    composed_loss = F.relu(logs[:, alone].detach() - logs[:, together] + ORDER_MARGIN).mean()
    return (
        (weights * (amount_loss + alike * context_loss)).mean()
        + emphasis.graded * graded_loss
        + emphasis.rising * rising_loss
        + emphasis.order * composed_loss
    )


def _amount_loss(read: Tensor, targets: Tensor, emphasis: Emphasis) -> Tensor:
    """Return the error [B, F] of amounts [B, F, K + 1] before they are cut off at 0."""
    present = targets > 0
    several = (present.sum(dim=-1, keepdim=True) > 1) & present
    # Values below 0 already read as absent.
    error = torch.where(present, read, F.relu(read)) - targets * torch.where(
        several, emphasis.gain, 1.0
    )
    linear = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none")
    # Amounts in combinations are guesses. A squared loss fits their mean; a linear one fits the
    # median, which is 0 for a rare distortion.
    loss = torch.where(several, 2 * error.square(), linear)
    weights = torch.where(present, 1.0, ABSENT_WEIGHT)
    weights[..., -1] = torch.where(present[..., -1], emphasis.other, ABSENT_WEIGHT)
    weights[..., :-1] *= torch.where(_is_other(targets), emphasis.alike, 1.0)[..., None]
    return (loss * weights).sum(dim=-1)


def _is_other(targets: Tensor) -> Tensor:
    """Return which pairs [B, F] show only other kinds of change."""
    return (targets[..., -1] > 0) & (targets[..., :-1] == 0).all(dim=-1)
