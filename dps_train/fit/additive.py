"""Training the additive head on a distance bank: regression to amounts, for every context."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.progress import track
from dps_train.bank.bank import Bank
from dps_train.contexts import all_rankings, importance_table
from dps_train.distortions.families import COMPOSED, GRADED, Pairs
from dps_train.model.heads import LEARNING_KNEE, AdditiveHead, ChannelHead

EPOCHS = 15
CROPS_PER_BATCH = 32
SCALE_CROPS = 500
"""Crops that the scales of the head's inputs are taken from: a bank may be larger than memory."""

LEARNING_RATE = 2e-3
ADAPTING_RATE = 3e-4
"""Of a head that has learnt already."""

WEIGHT_DECAY = 1e-4
BETA = 0.1
"""Where the losses turn from squared to linear."""

ABSENT_WEIGHT = 4.0
"""An amount that should be 0 counts this much more: in a context it may be multiplied by a
hundred times the importance of what is really there."""

ORDER_MARGIN = 0.02
"""By how much, in log distance, more of a change should be farther."""

RISE = 0.005
"""By how much more of a change should show more of every amount. Where an amount is 0 in both, it
costs the same whatever the head does."""

CONTEXTS_PER_BATCH = 32
CONTEXT_SLACK = 1 / 512
"""Added to distances before their logarithm is compared."""


@dataclass(frozen=True)
class Emphasis:
    """What counts how much in the loss.

    Reading a combination of distortions is guessing at what is hidden beneath what: the
    more it counts, the more often two changes are as far as either alone, and the less
    clearly are single changes told apart.

    Attributes:
        combined: weight of a pair by its number of distortions, from none to three.
        gain: by which amounts in combinations are asked for larger than alone; what is not
            seen clearly is read too small.
        under: how much more such an amount counts that is read too small.
        order: weight of two changes being no nearer than one of them.
        other: weight of `other` where there is some.
        alike: of other kinds of change, the share that readings as a named one keep of their
            weight. Bending is much like shifting: to forbid either reading leaves none.
        graded: weight of more of a change being farther.
        rising: weight of more of a change showing no less of any amount: kinds of change
            that are alike must not change hands as they grow.
    """

    combined: tuple[float, float, float, float]
    gain: float
    under: float
    order: float
    other: float
    alike: float
    graded: float
    rising: float


CHANNELS = Emphasis(
    combined=(1.0, 1.0, 0.2, 0.05),
    gain=1.0,
    under=1.0,
    order=0.0,
    other=0.5,
    alike=0.3,
    graded=1.0,
    rising=0.0,
)
"""For channel distances, in which combinations look too much alike: measured on SqueezeNet's,
counting them more costs 0.015 of 2AFC for 0.23 of composition."""

PAIRS = Emphasis(
    combined=(1.0, 1.0, 0.8, 0.4),
    gain=2.0,
    under=1.0,
    order=0.3,
    other=2.0,
    alike=1.0,
    graded=1.0,
    rising=0.0,
)
"""For the pair encoder, which sees what moved where."""

SETTLED = replace(PAIRS, alike=0.15, graded=4.0, rising=10.0)
"""For the pair encoder, once it tells the kinds of change apart."""

BALANCED = replace(SETTLED, combined=(1.0, 1.0, 0.4, 0.15), gain=2.1, rising=5.0)
"""For the pair encoder's head, once the encoder has learnt what combinations look like."""


def fit_additive(head: ChannelHead, bank: Bank, *, epochs: int, generator: torch.Generator) -> None:
    """Train `head` anew, in place; on return it is in evaluation mode.

    Args:
        head: its names are the six distortions and `other`.
        bank: training pairs.
        epochs: passes over the bank.
        generator: draws the initial weights, the batches and the contexts.
    """
    initialise(head.layers, generator)
    head.fit_scales(bank.z[:SCALE_CROPS].flatten(0, 1))
    _optimise(head, bank, epochs, LEARNING_RATE, CHANNELS, generator)


def adapt_additive(
    head: AdditiveHead, bank: Bank, *, epochs: int, generator: torch.Generator
) -> None:
    """Train on from the weights that `head` has; see `fit_additive`."""
    _optimise(head, bank, epochs, ADAPTING_RATE, BALANCED, generator)


def _optimise(
    head: AdditiveHead,
    bank: Bank,
    epochs: int,
    rate: float,
    emphasis: Emphasis,
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
        loss = additive_loss(head, bank.z[rows], targets[rows], contexts[drawn], emphasis)
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
    emphasis: Emphasis,
    graded: Pairs = GRADED,
    composed: Pairs = COMPOSED,
) -> Tensor:
    """Return the training loss of a batch of families.

    Three parts: the amounts one by one; the logarithm of the distance in random contexts,
    in which a small amount of what matters counts as much as a large one of what does
    not; and the order of the family members that `graded` and `composed` list.

    Args:
        head: the head.
        z: [B, F, D].
        targets: amounts, and the share of `other` [B, F, K + 1].
        contexts: importances [R, K + 1].
        emphasis: what counts how much.
        graded: from `dps_train.distortions.families.graded_pairs`.
        composed: from `dps_train.distortions.families.composed_pairs`.
    """
    evidence, visible = head.evidence(z, LEARNING_KNEE), head.visible(z)
    targets = head.amounts_of(targets, z, LEARNING_KNEE)
    weights = torch.tensor(emphasis.combined)[(targets > 0).sum(dim=-1)]
    amount_loss = _amount_loss(evidence * visible, targets, emphasis)
    alike = torch.where(_is_other(targets), emphasis.alike, 1.0)
    # A soft cut-off keeps a gradient where an amount is wrongly read as 0.
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
    # The combination alone has to give way: a single change is read well, and should stay so.
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
    # Anything <= 0 already reads as "absent"; pushing it further would teach nothing.
    error = torch.where(present, read, F.relu(read)) - targets * torch.where(
        several, emphasis.gain, 1.0
    )
    linear = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none")
    # Where several are combined the reading is a guess: the mean is wanted, not the median,
    # which for a rare one would be 0.
    loss = torch.where(several, 2 * error.square(), linear)
    loss = loss * torch.where(several & (error < 0), emphasis.under, 1.0)
    weights = torch.where(present, 1.0, ABSENT_WEIGHT)
    weights[..., -1] = torch.where(present[..., -1], emphasis.other, ABSENT_WEIGHT)
    weights[..., :-1] *= torch.where(_is_other(targets), emphasis.alike, 1.0)[..., None]
    return (loss * weights).sum(dim=-1)


def _is_other(targets: Tensor) -> Tensor:
    """Return which pairs [B, F] show other kinds of change only."""
    return (targets[..., -1] > 0) & (targets[..., :-1] == 0).all(dim=-1)


def initialise(layers: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of linear layers."""
    for layer in layers.modules():
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
