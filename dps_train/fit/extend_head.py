"""Teach a trained head distortions of the user's own; what it knew stays as it was."""

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
    initialise,
)
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.heads import AdditiveHead

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
"""Strong, as is the dropout: what is learned here must not see itself in every other change."""

QUIET = 4.0
"""Weight of own evidence where there is no own distortion. Less and the six are mistaken for it;
more and it is seen too late."""

CONTEXTS = 720
"""Rankings that the training draws from."""


def extend(
    head: AdditiveHead,
    own: Sequence[CustomDistortion],
    ordinary: Bank,
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    epochs: int,
    generator: torch.Generator,
) -> ExtendedHead:
    """Return the head with an amount for each distortion more, in evaluation mode.

    Args:
        head: trained; its weights are not changed.
        own: what it is to learn; of recorded ones, the scenes to train on.
        ordinary: changes of other kinds, that it must not mistake for them.
        distances: what `ordinary` was made by.
        images: to distort.
        pairs: with own distortions, at least.
        size: side of a crop in pixels.
        epochs: passes over these.
        generator: of everything random.
    """
    extended = ExtendedHead(head, [one.name for one in own])
    initialise(extended.own, generator)
    initialise(extended.gates, generator)
    bank = _own_bank(own, distances, images, pairs=pairs, size=size, generator=generator)
    with_own = torch.cat([bank.amounts, bank.other[..., None]], dim=-1)
    none = torch.zeros(*ordinary.amounts.shape[:-1], len(own))
    without = torch.cat([ordinary.amounts, none, ordinary.other[..., None]], dim=-1)
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
    for rows in track(batches, "own distortions"):
        others = torch.randint(len(ordinary.z), (CROPS_PER_BATCH,), generator=generator)
        drawn = contexts[torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)]
        loss = (
            additive_loss(
                extended,
                bank.z[rows],
                with_own[rows],
                drawn,
                BALANCED,
                CUSTOM_GRADED,
                CUSTOM_COMPOSED,
            )
            + additive_loss(extended, ordinary.z[others], without[others], drawn, BALANCED)
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


def _own_bank(
    own: Sequence[CustomDistortion],
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    generator: torch.Generator,
) -> Bank:
    """Draw crops and families of changes with each own distortion, and compare them."""
    z, amounts = [], []
    crops = -(-pairs // (CUSTOM_FAMILY_SIZE * len(own)))
    for number, one in enumerate(own):
        for start in track(range(0, crops, BATCH), one.name):
            count = min(BATCH, crops - start)
            batch, distortion = _crops(one, images, count, size, generator)
            reference = distances.maps(batch)
            family = draw_custom_family(batch, distortion, generator)
            z.append(
                torch.stack([distances.z(reference, draw.images) for draw, _ in family], dim=1)
            )
            columns = torch.zeros(count, len(family), len(own))
            columns[..., number] = torch.stack([amount for _, amount in family], dim=1)
            of_six = torch.stack([draw.amounts for draw, _ in family], dim=1)
            amounts.append(torch.cat([of_six, columns], dim=-1))
    joined = torch.cat(amounts)
    return Bank(torch.cat(z), joined, torch.zeros(joined.shape[:-1]))


def _crops(
    one: CustomDistortion,
    images: Sequence[Pixels],
    count: int,
    size: int,
    generator: torch.Generator,
) -> tuple[Tensor, StrengthDistortion]:
    """Return crops [count, 3, size, size], and the distortion of them."""
    if one.recording is None:
        return random_crops(images, count, size, generator), one.distortion
    scenes = one.recording.crops(count, size, generator)
    return scenes.before, recorded_distortion(one.distortion, scenes)
