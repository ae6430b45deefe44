"""Training the additive head on a distance bank: regression to amounts, for every context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.bank import Bank
from dps_train.contexts import all_rankings, importance_table
from dps_train.draws import COMPOSED, GRADED
from dps_train.heads import AdditiveHead, ChannelHead
from dps_train.progress import track

CROPS_PER_BATCH = 32
LEARNING_RATE = 2e-3
ADAPTING_RATE = 3e-4
"""Of a head that has learnt already."""

WEIGHT_DECAY = 1e-4
BETA = 0.1
"""Where the losses turn from squared to linear."""

ABSENT_WEIGHT = 4.0
"""An amount that should be 0 counts this much more: in a context it may be multiplied by 32
times the importance of what is really there."""

ORDER_WEIGHT = 1.0
ORDER_MARGIN = 0.02
"""By how much, in log distance, more of a change should be farther."""

CONTEXTS_PER_BATCH = 32
CONTEXT_SLACK = 1 / 512
"""Added to distances before their logarithm is compared."""


@dataclass(frozen=True)
class Combined:
    """How much combinations of distortions count against single ones.

    Reading a combination is guessing at what is hidden beneath what: the more it counts,
    the more often two changes are as far as either alone, and the less clearly are single
    changes told apart.

    Attributes:
        weights: of a pair by its number of distortions, from none to three.
        gain: by which amounts are asked for larger than alone; what is not seen clearly is
            read too small.
        under: how much more an amount counts that is read too small.
        order: weight of two changes being no nearer than one of them.
    """

    weights: tuple[float, float, float, float]
    gain: float
    under: float
    order: float


CHANNELS = Combined(weights=(1.0, 1.0, 0.2, 0.05), gain=1.0, under=1.0, order=0.0)
"""For channel distances, in which combinations look too much alike: measured on SqueezeNet's,
counting them more costs 0.015 of 2AFC for 0.23 of composition."""

PAIRS = Combined(weights=(1.0, 1.0, 0.4, 0.15), gain=1.08, under=2.5, order=0.3)
"""For the pair encoder, which sees what moved where."""


def fit_additive(head: ChannelHead, bank: Bank, *, epochs: int, generator: torch.Generator) -> None:
    """Train `head` anew, in place; on return it is in evaluation mode.

    Args:
        head: its names are the six distortions and `other`.
        bank: training pairs.
        epochs: passes over the bank.
        generator: draws the initial weights, the batches and the contexts.
    """
    initialise(head, generator)
    head.fit_scales(bank.z.flatten(0, 1))
    _optimise(head, bank, epochs, LEARNING_RATE, CHANNELS, generator)


def adapt_additive(
    head: AdditiveHead, bank: Bank, *, epochs: int, generator: torch.Generator
) -> None:
    """Train on from the weights that `head` has; see `fit_additive`."""
    _optimise(head, bank, epochs, ADAPTING_RATE, PAIRS, generator)


def _optimise(
    head: AdditiveHead,
    bank: Bank,
    epochs: int,
    rate: float,
    combined: Combined,
    generator: torch.Generator,
) -> None:
    targets = torch.cat([bank.amounts, bank.other[..., None]], dim=-1)
    contexts = importance_table(all_rankings())
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    starts = range(0, len(bank.z), CROPS_PER_BATCH)
    steps = [start for _ in range(epochs) for start in starts]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(steps))
    order = torch.empty(0)
    head.train()
    for start in track(steps, "head"):
        if start == 0:
            order = torch.randperm(len(bank.z), generator=generator)
        rows = order[start : start + CROPS_PER_BATCH]
        drawn = torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)
        loss = additive_loss(head, bank.z[rows], targets[rows], contexts[drawn], combined)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()


def additive_loss(
    head: AdditiveHead,
    z: Tensor,
    targets: Tensor,
    contexts: Tensor,
    combined: Combined,
    graded: Sequence[tuple[int, int]] = GRADED,
) -> Tensor:
    """Return the training loss of a batch of families.

    Three parts: the amounts one by one; the logarithm of the distance in random contexts,
    in which a small amount of what matters counts as much as a large one of what does
    not; and the order of the family members that `graded` and `COMPOSED` list.

    Args:
        head: the head.
        z: [B, F, D].
        targets: amounts [B, F, K + 1].
        contexts: importances [R, K + 1].
        combined: how much combinations of distortions count.
        graded: pairs of members (weaker, stronger) of one change.
    """
    evidence, visible = head.evidence(z), head.visible(z)
    weights = torch.tensor(combined.weights)[(targets > 0).sum(dim=-1)]
    amount_loss = _amount_loss(evidence * visible, targets, combined)
    # A soft cut-off keeps a gradient where an amount is wrongly read as 0.
    distances = (F.softplus(evidence, beta=20) * visible) @ contexts.T
    logs = torch.log(distances + CONTEXT_SLACK)
    difference = logs - torch.log(targets @ contexts.T + CONTEXT_SLACK)
    context_loss = F.smooth_l1_loss(
        difference, torch.zeros_like(difference), beta=BETA, reduction="none"
    ).mean(dim=-1)
    weaker, stronger = torch.tensor(graded).T
    graded_loss = F.relu(logs[:, weaker] - logs[:, stronger] + ORDER_MARGIN).mean()
    alone, composed = torch.tensor(COMPOSED).T
    # The combination alone has to give way: a single change is read well, and should stay so.
    composed_loss = F.relu(logs[:, alone].detach() - logs[:, composed] + ORDER_MARGIN).mean()
    return (
        (weights * (amount_loss + context_loss)).mean()
        + ORDER_WEIGHT * graded_loss
        + combined.order * composed_loss
    )


def _amount_loss(read: Tensor, targets: Tensor, combined: Combined) -> Tensor:
    """Return the error [B, F] of amounts [B, F, K + 1] before they are cut off at 0."""
    present = targets > 0
    several = (present.sum(dim=-1, keepdim=True) > 1) & present
    # Anything <= 0 already reads as "absent"; pushing it further would teach nothing.
    error = torch.where(present, read, F.relu(read)) - targets * torch.where(
        several, combined.gain, 1.0
    )
    linear = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none")
    # Where several are combined the reading is a guess: the mean is wanted, not the median,
    # which for a rare one would be 0.
    loss = torch.where(several, 2 * error.square(), linear)
    loss = loss * torch.where(several & (error < 0), combined.under, 1.0)
    return (loss * torch.where(present, 1.0, ABSENT_WEIGHT)).sum(dim=-1)


def initialise(head: ChannelHead, generator: torch.Generator) -> None:
    """Draw the weights of the head's layers."""
    for layer in head.layers:
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
