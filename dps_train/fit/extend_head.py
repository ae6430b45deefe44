"""Extend a trained additive head by custom distortions; its other amounts stay as they were."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.progress import track
from dps_train.bank.bank import BATCH, Bank, FeatureDistances
from dps_train.contexts import importance_table, random_rankings
from dps_train.custom.custom_distortion import CustomDistortion
from dps_train.custom.families import (
    CUSTOM_COMPOSED,
    CUSTOM_FAMILY_SIZE,
    CUSTOM_GRADED,
    draw_custom_family,
)
from dps_train.custom.function import StrengthDistortion
from dps_train.custom.recording import recorded_distortion
from dps_train.data.crops import random_crops
from dps_train.fit.additive import (
    BALANCED,
    CONTEXTS_PER_BATCH,
    CROPS_PER_BATCH,
    additive_loss,
    initialize,
)
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.heads import AdditiveHead

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
"""Strong, as is the dropout, so that custom distortions are not seen in every other change."""

QUIET = 4.0
"""Weight of custom evidence in changes without a custom distortion. With less, the six are
mistaken for custom ones; with more, weak custom ones are missed."""

CONTEXTS = 720
"""Rankings that the contexts of the training are drawn from."""


def extend(
    head: AdditiveHead,
    custom: Sequence[CustomDistortion],
    ordinary: Bank,
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    epochs: int,
    generator: torch.Generator,
) -> ExtendedHead:
    """Return a head with an additional amount per custom distortion, in evaluation mode.

    Args:
        head: a trained head; its weights are not changed.
        custom: the custom distortions; recorded ones with the scenes to train on.
        ordinary: other changes, which must not be mistaken for custom ones.
        distances: the network of `ordinary`.
        images: images to distort.
        pairs: minimum number of pairs with custom distortions.
        size: side of a crop in pixels.
        epochs: passes over the pairs with custom distortions.
        generator: of everything random.
    """
    extended = ExtendedHead(head, [one.name for one in custom])
    initialize(extended.own, generator)
    initialize(extended.gates, generator)
    bank = _custom_bank(custom, distances, images, pairs=pairs, size=size, generator=generator)
    custom_targets = torch.cat([bank.amounts, bank.other[..., None]], dim=-1)
    none = torch.zeros(*ordinary.amounts.shape[:-1], len(custom))
    targets = torch.cat([ordinary.amounts, none, ordinary.other[..., None]], dim=-1)
    contexts = importance_table(random_rankings(CONTEXTS, generator, extended.names[:-1]))
    learned = [*extended.own.parameters(), *extended.gates.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = [
        rows
        for _ in range(epochs)
        for rows in torch.randperm(len(bank.z), generator=generator).split(CROPS_PER_BATCH)
    ]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=len(batches)
    )
    head.requires_grad_(False)
    extended.own.dropout = extended.gates.dropout = generator
    for rows in track(batches, "custom distortions"):
        others = torch.randint(len(ordinary.z), (CROPS_PER_BATCH,), generator=generator)
        drawn = contexts[torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)]
        loss = (
            additive_loss(
                extended,
                bank.z[rows],
                custom_targets[rows],
                drawn,
                BALANCED,
                CUSTOM_GRADED,
                CUSTOM_COMPOSED,
            )
            + additive_loss(extended, ordinary.z[others], targets[others], drawn, BALANCED)
            + QUIET * extended.custom_evidence(ordinary.z[others]).sum(dim=-1).mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    extended.own.dropout = extended.gates.dropout = None
    head.requires_grad_(True)
    extended.round_to_half()
    return extended.eval()


def _custom_bank(
    custom: Sequence[CustomDistortion],
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    generator: torch.Generator,
) -> Bank:
    """Draw crops and families of changes with each custom distortion, and compare them."""
    z, amounts = [], []
    crops = -(-pairs // (CUSTOM_FAMILY_SIZE * len(custom)))
    for number, one in enumerate(custom):
        for start in track(range(0, crops, BATCH), one.name):
            count = min(BATCH, crops - start)
            batch, distortion = _crops(one, images, count, size, generator)
            reference = distances.maps(batch)
            family = draw_custom_family(batch, distortion, generator)
            z.append(
                torch.stack([distances.z(reference, draw.images) for draw, _ in family], dim=1)
            )
            columns = torch.zeros(count, len(family), len(custom))
            columns[..., number] = torch.stack([amount for _, amount in family], dim=1)
            of_six = torch.stack([draw.amounts for draw, _ in family], dim=1)
            amounts.append(torch.cat([of_six, columns], dim=-1))
    joined = torch.cat(amounts)
    return Bank(torch.cat(z), joined, torch.zeros(joined.shape[:-1]))


def _crops(
    custom: CustomDistortion,
    images: Sequence[Pixels],
    count: int,
    size: int,
    generator: torch.Generator,
) -> tuple[Tensor, StrengthDistortion]:
    """Return crops [count, 3, size, size], and the distortion that applies to them."""
    if custom.recording is None:
        return random_crops(images, count, size, generator), custom.distortion
    scenes = custom.recording.crops(count, size, generator)
    return scenes.before, recorded_distortion(custom.distortion, scenes)
