"""Train the head of size and presence on measured families; it may be cut off and continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from dps_infer.progress import track
from dps_train.distortions.kinds import KIND_NAMES
from dps_train.distortions.paper import NAMES
from dps_train.fit.checkpoints import Checkpoint, TrainingState
from dps_train.fit.presence.bank import Collection, MeasuredPairs
from dps_train.fit.presence.loss import Weights, presence_loss, random_contexts, read_pairs
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.presence_head import CellHead, PresenceHead, PresenceLayers
from dps_train.seeds import generator_for

FAMILIES_PER_STEP = 24
RATE, ADAPTING_RATE = 2e-3, 3e-4
WEIGHT_DECAY = 2e-2
WARM_UP = 0.1
"""Share of the steps."""

ROWS_AT_ONCE = 2000
NOTED, KEPT = 250, 500
"""Steps after which the loss is told, and after which a checkpoint is written."""

VISIBLE = 0.5 / 255
FEWEST = 10
REFERENCE, GROSS_REFERENCE = 0.95, 0.05
"""Quantiles of the size of a kind's changes at which its amount is 1: of kinds that may be faint,
and of mirror images, all of which are gross."""

Banks = Sequence[tuple[Collection, MeasuredPairs]]


def train_presence(
    metric: ChangeMetric,
    banks: Banks,
    *,
    steps: int,
    seed: int,
    adapt: bool = False,
    checkpoint: Checkpoint | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Train a metric's head in place.

    Args:
        metric: its network stays as it is.
        banks: collections, all of which are drawn from in every step.
        steps: optimizer steps.
        seed: of the initial weights and the batches.
        adapt: continue from the weights that the head has, in place of new ones.
        checkpoint: keeps the state, so that a training that was cut off continues; None keeps
            none.
        note: receives a line about the loss now and then.
    """
    generator = generator_for("presence", seed)
    assert isinstance(metric.head, PresenceHead)
    heads = nn.ModuleList([metric.comparison.cell_head, metric.head.layers])
    rate = ADAPTING_RATE if adapt else RATE
    if not adapt:
        initialize(heads, generator)
        _standardize(metric.comparison.cell_head, metric.head.layers, banks)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    one_cycle = partial(OneCycleLR, optimizer, rate, total_steps=steps, pct_start=WARM_UP)
    schedule = one_cycle()
    state = TrainingState(generator, heads=heads)
    done = 0 if checkpoint is None else state.load(checkpoint, optimizer)
    if done:
        schedule = one_cycle(last_epoch=done - 1)
    for step in track(range(done, steps), "presence"):
        loss, contexts = torch.zeros(()), random_contexts(generator)
        for collection, pairs in banks:
            families = len(pairs.present) // collection.members
            drawn = torch.randint(families, (FAMILIES_PER_STEP,), generator=generator)
            rows = drawn[:, None] * collection.members + torch.arange(collection.members)
            loss = loss + collection.weight * presence_loss(
                metric, pairs.rows(rows.flatten()), collection.members, Weights(), contexts
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(heads.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        if step % NOTED == NOTED - 1:
            note(f"step {step + 1} of {steps}: loss {loss.item():.3f}")
        if checkpoint is not None and (step == steps - 1 or step % KEPT == KEPT - 1):
            state.save(checkpoint, optimizer, step + 1)
    if not adapt:
        set_scales(metric, banks)
    _round_to_half(heads)


@torch.no_grad()
def _round_to_half(module: nn.Module) -> None:
    """Round weights to half precision, in which files store them."""
    for parameter in module.parameters():
        parameter.copy_(parameter.half().float())


def _standardize(cell_head: CellHead, layers: PresenceLayers, banks: Banks) -> None:
    cells = torch.cat([p.cells[::7].float().flatten(0, 2) for _, p in banks])
    motion = torch.cat([p.motion for _, p in banks])
    cell_head.features.fit(cells)
    cell_head.motion.fit(motion)
    layers.features.fit(torch.cat([p.features.flatten(0, 1) for _, p in banks]))
    layers.shared.fit(torch.cat([layers.shared_of(p.terms, p.motion, p.code) for _, p in banks]))


@torch.no_grad()
def set_scales(metric: ChangeMetric, banks: Banks) -> None:
    """Set each kind's scale, so that its amount is 1 for a reference change of that kind.

    That is, of the paper's six, the median of its ranges at its size; of others, a strong change:
    its ranges are strong as well.
    """
    sizes = [
        torch.cat([read_pairs(metric, p.rows(rows)).size for rows in _chunks(p)]) for _, p in banks
    ]
    for number, name in enumerate(KIND_NAMES):
        references = []
        for (collection, pairs), size in zip(banks, sizes, strict=True):
            alone = (pairs.present.sum(dim=1) == 1) & (pairs.present[:, number] > 0)
            alone &= (pairs.visible > VISIBLE) & (pairs.local == 0)
            if collection.paper == (name in NAMES) and alone.sum() >= FEWEST:
                references.append(size[alone])
        if references:
            quantile = REFERENCE
            if name in NAMES:
                quantile = 0.5
            elif name == "mirror":
                quantile = GROSS_REFERENCE
            metric.head.scale[number] = 1 / torch.cat(references).quantile(quantile)


def _chunks(pairs: MeasuredPairs) -> Sequence[Tensor]:
    return torch.arange(len(pairs.present)).split(ROWS_AT_ONCE)


def initialize(layers: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of linear layers."""
    for layer in layers.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
