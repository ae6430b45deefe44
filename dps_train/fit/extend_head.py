"""Extend a trained head by custom distortions; where none is seen, its amounts stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.progress import track
from dps_train.custom.custom_distortion import CustomDistortion
from dps_train.custom.families import CUSTOM_FAMILY_SIZE, draw_custom_family
from dps_train.custom.function import StrengthDistortion
from dps_train.custom.recording import recorded_distortion
from dps_train.data.crops import random_crops
from dps_train.distortions.paper import NAMES
from dps_train.fit.presence.training import initialize
from dps_train.model.change.presence_head import PresenceHead
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.feature_distances import FeatureDistances

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
"""Strong, as is the dropout, so that custom distortions are not seen in every other change."""

BATCH = 64
ROWS_PER_STEP = 400

QUIET = 2.0
"""Weight of changes without a custom distortion. With less, they are mistaken for custom ones; with
more, weak custom ones are missed."""

FAINT = 0.05
"""Amount at which a custom distortion counts half."""

LARGE = 2.5
"""Side of the larger crops, in sides of the smaller ones."""


@dataclass(frozen=True)
class CustomPairs:
    """P pairs that show custom distortions, some with one of the six.

    Attributes:
        z: [P, D].
        six: amounts of the six [P, 6].
        custom: amounts of the custom distortions [P, J].
    """

    z: Tensor
    six: Tensor
    custom: Tensor


def extend(
    head: PresenceHead,
    custom: Sequence[CustomDistortion],
    ordinary: Tensor,
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
        ordinary: z [P, D] of other changes, which must not be mistaken for custom ones.
        distances: the network of `ordinary`.
        images: images to distort.
        pairs: minimum number of pairs with custom distortions.
        size: side of the smaller crops in pixels.
        epochs: passes over the pairs with custom distortions.
        generator: of everything random.
    """
    extended = ExtendedHead(head, [one.name for one in custom])
    initialize(extended.own, generator)
    initialize(extended.gates, generator)
    shown = _custom_pairs(custom, distances, images, pairs=pairs, size=size, generator=generator)
    learned = [*extended.own.parameters(), *extended.gates.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = max(1, epochs * len(shown.z) // ROWS_PER_STEP)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    head.requires_grad_(False)
    extended.own.dropout = extended.gates.dropout = generator
    for _ in track(range(steps), "custom distortions"):
        rows = torch.randint(len(shown.z), (ROWS_PER_STEP,), generator=generator)
        others = torch.randint(len(ordinary), (ROWS_PER_STEP,), generator=generator)
        loss = _custom_loss(extended, shown.z[rows], shown.six[rows], shown.custom[rows])
        loss = loss + QUIET * _quiet_loss(extended, ordinary[others])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    extended.own.dropout = extended.gates.dropout = None
    head.requires_grad_(True)
    extended.round_to_half()
    _set_scales(extended, shown)
    return extended.eval()


def _custom_loss(head: ExtendedHead, z: Tensor, six: Tensor, custom: Tensor) -> Tensor:
    """Return the loss of pairs that show custom distortions."""
    found, unexplained = head.custom_probabilities(z)
    older = torch.sigmoid(head.read(z).evidence) * unexplained
    there = torch.zeros_like(older)
    there[:, : len(NAMES)] = (six > 0).float()
    clear = torch.where(custom > 0, custom / (custom + FAINT), 1.0)
    loss = (clear * _cross_entropy(found, (custom > 0).float())).sum(dim=1).mean()
    # What a custom distortion resembles is not there; what was combined with it is.
    seen = (custom > FAINT).any(dim=1).float()
    return loss + (seen * _cross_entropy(older, there).mean(dim=1)).mean()


def _quiet_loss(head: ExtendedHead, z: Tensor) -> Tensor:
    """Return the loss of pairs that show none."""
    found, _ = head.custom_probabilities(z)
    return _cross_entropy(found, torch.zeros_like(found)).sum(dim=1).mean()


def _cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    bounded = probability.clamp(1e-4, 1 - 1e-4)
    return F.binary_cross_entropy(bounded, target, reduction="none")


@torch.no_grad()
def _set_scales(head: ExtendedHead, shown: CustomPairs) -> None:
    """Set the scale of each custom distortion, so that its typical amount is 1."""
    size = head.size(shown.z, head.read(shown.z))
    alone = (shown.six == 0).all(dim=1)
    for number in range(head.custom):
        typical = size[alone & (shown.custom[:, number] > 0.5)]
        if len(typical):
            head.scale[number] = 1 / typical.median()


def _custom_pairs(
    custom: Sequence[CustomDistortion],
    distances: FeatureDistances,
    images: Sequence[Pixels],
    *,
    pairs: int,
    size: int,
    generator: torch.Generator,
) -> CustomPairs:
    """Draw crops and families of changes with each custom distortion, and compare them."""
    z, of_six, of_custom = [], [], []
    crops = -(-pairs // (CUSTOM_FAMILY_SIZE * len(custom)))
    for number, one in enumerate(custom):
        for start in track(range(0, crops, BATCH), one.name):
            count = min(BATCH, crops - start)
            side = size if start // BATCH % 2 == 0 else round(LARGE * size)
            batch, distortion = _crops(one, images, count, side, generator)
            reference = distances.maps(batch)
            for draw, amount in draw_custom_family(batch, distortion, generator):
                z.append(distances.z(reference, draw.images))
                of_six.append(draw.amounts)
                columns = torch.zeros(count, len(custom))
                columns[:, number] = amount
                of_custom.append(columns)
    return CustomPairs(torch.cat(z), torch.cat(of_six), torch.cat(of_custom))


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
