"""Training the additive head on a distance bank: regression to amounts, for every context."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_train.bank import Bank
from dps_train.contexts import all_rankings, importance_table
from dps_train.draws import NEARER_FARTHER
from dps_train.heads import FLOOR, AdditiveHead, log_amount, uniform_distance, visibility
from dps_train.progress import track

CROPS_PER_BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
BETA = 0.1
"""Where the losses turn from squared to linear."""

ABSENT_WEIGHT = 4.0
"""An amount that should be 0 counts this much more: in a context it may be multiplied by 32
times the importance of what is really there."""

COUNT_WEIGHT = (1.0, 1.0, 0.2, 0.05)
"""Weight of a pair by its number of distortions: what is hidden beneath others can only be
guessed, and guesses on triples would leak into the clear cases."""

ORDER_WEIGHT = 1.0
ORDER_MARGIN = 0.02
"""By how much, in log distance, more of a change should be farther."""

CONTEXTS_PER_BATCH = 32
CONTEXT_SLACK = 1 / 512
"""Added to distances before their logarithm is compared."""


def fit_additive(
    head: AdditiveHead, bank: Bank, *, epochs: int, generator: torch.Generator
) -> None:
    """Train `head` in place; on return it is in evaluation mode.

    Args:
        head: its names are the six distortions and `other`.
        bank: training pairs.
        epochs: passes over the bank.
        generator: draws the initial weights, the batches and the contexts.
    """
    initialise(head, generator)
    head.fit_scales(bank.z.flatten(0, 1))
    targets = target_amounts(head, bank.z, bank.amounts, bank.other)
    contexts = importance_table(all_rankings())
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    starts = range(0, len(bank.z), CROPS_PER_BATCH)
    steps = [start for _ in range(epochs) for start in starts]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=len(steps))
    order = torch.empty(0)
    head.train()
    for start in track(steps, "head"):
        if start == 0:
            order = torch.randperm(len(bank.z), generator=generator)
        rows = order[start : start + CROPS_PER_BATCH]
        drawn = torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)
        loss = additive_loss(head, bank.z[rows], targets[rows], contexts[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()


def additive_loss(head: AdditiveHead, z: Tensor, targets: Tensor, contexts: Tensor) -> Tensor:
    """Return the training loss of a batch of families.

    Three parts: the amounts one by one; the logarithm of the distance in random contexts,
    in which a small amount of what matters counts as much as a large one of what does
    not; and the order of the family members that `NEARER_FARTHER` lists.

    Args:
        head: the head.
        z: [B, F, D].
        targets: amounts [B, F, K + 1].
        contexts: importances [R, K + 1].
    """
    evidence = head.evidence(z)
    present = targets > 0
    weights = torch.tensor(COUNT_WEIGHT)[present.sum(dim=-1)]
    # Any evidence <= 0 already reads as "absent"; pushing it further would teach nothing.
    fitted = torch.where(present, evidence, F.relu(evidence))
    amount_loss = F.smooth_l1_loss(fitted, targets, beta=BETA, reduction="none")
    amount_loss = (amount_loss * torch.where(present, 1.0, ABSENT_WEIGHT)).sum(dim=-1)
    # A soft cut-off keeps a gradient where an amount is wrongly read as 0.
    seen = visibility(uniform_distance(z)[..., None], head.threshold)
    distances = (F.softplus(evidence, beta=20) * seen) @ contexts.T
    logs = torch.log(distances + CONTEXT_SLACK)
    difference = logs - torch.log(targets @ contexts.T + CONTEXT_SLACK)
    context_loss = F.smooth_l1_loss(
        difference, torch.zeros_like(difference), beta=BETA, reduction="none"
    ).mean(dim=-1)
    nearer, farther = torch.tensor(NEARER_FARTHER).T
    order_loss = F.relu(logs[:, nearer] - logs[:, farther] + ORDER_MARGIN).mean()
    return (weights * (amount_loss + context_loss)).mean() + ORDER_WEIGHT * order_loss


def target_amounts(head: AdditiveHead, z: Tensor, amounts: Tensor, other: Tensor) -> Tensor:
    """Return what the head should report [..., K + 1].

    Other kinds of change have no strength in common, so where one is at work the plain
    feature difference is the target of `other`. The floor that the head adds by itself is
    taken off.

    Args:
        head: gives the scale of feature differences.
        z: channel distances [..., D].
        amounts: of the distortions [..., K].
        other: strength of another kind of change [...]; above 1, as a factor, for images
            that are farther apart than any change brings them.
    """
    difference = log_amount(uniform_distance(z), head.threshold, head.reference)
    target = torch.where(other > 0, (1 - FLOOR) * difference * other.clamp(min=1), 0)
    return torch.cat([amounts, target[..., None]], dim=-1)


def initialise(head: AdditiveHead, generator: torch.Generator) -> None:
    """Draw the weights of the head's layers."""
    for layer in head.layers:
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
