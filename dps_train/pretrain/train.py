"""Training of the embedded metric.

Backbone, pair encoder and head learn together, for all rankings at once, to tell the amounts of
the six distortions and of other changes apart. The data are scikit-image's bundled photographs
and drawn images (`dps_train.pretrain.images.mixture`), recolored and mirrored. The photographs
that `sample` holds out are not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dps_infer.model.manifest import DataInfo
from dps_infer.progress import track
from dps_train.contexts import all_rankings, importance_table
from dps_train.distortions.distortion import quantize
from dps_train.distortions.families import (
    FAMILY,
    Members,
    composed_pairs,
    draw_family,
    graded_pairs,
)
from dps_train.distortions.random_changes import Draw, draw_moved_windows, middle
from dps_train.fit.checkpoints import Checkpoint, TrainingState
from dps_train.model.embedded.embedded_metric import Recipe
from dps_train.model.pair_encoder import IMAGE_SIZE
from dps_train.pretrain.additive_loss import (
    BALANCED,
    CONTEXTS_PER_BATCH,
    PAIRS,
    SETTLED,
    Emphasis,
    additive_loss,
)
from dps_train.pretrain.embedded_parts import (
    EmbeddedParts,
    computes_in_half,
    fold,
    initial_parts,
)
from dps_train.pretrain.images.mixture import kept_images
from dps_train.seeds import generator_for

IMAGES = 20_000
SURROUNDINGS = 96
"""Side in pixels of the images, of which the middle is used."""

CROPS_PER_STEP = 16
MEMBERS: Members = (*FAMILY, ("two", 4), ("other", 2))
MOVED_WINDOWS = 2
FAMILY_SIZE = sum(count for _, count in MEMBERS) + MOVED_WINDOWS

LEARNING_RATE, SETTLING_RATE, BALANCING_RATE = 2.5e-3, 1e-3, 5e-4
"""Learning rates: constant in the first half, after `WARM_UP` steps; falling to 0 in the second
half, and again while only the head is trained."""

BALANCING = 800
"""Steps that train only the head."""

STEPS_KEPT = 250
"""Steps after which a checkpoint is written."""

WARM_UP = 100
WEIGHT_DECAY = 0.02
AVERAGE = 0.997
"""Decay of the running average of the weights."""


def pretrain(
    steps: int,
    seed: int,
    folder: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[EmbeddedParts, Recipe]:
    """Train the network of the embedded metric.

    The first half trains with batch normalization at a constant rate. Then it is folded away, and
    the second half settles the network in its final form. Finally, the head is balanced between
    single changes and combinations.

    Args:
        steps: batches of `CROPS_PER_STEP` images with `FAMILY_SIZE` changes each, in the halves.
        seed: of everything random.
        folder: keeps checkpoints, so that a run that was cut off continues; None keeps none.
        note: receives a line about the loss every 100 steps.

    Returns:
        The metric's parts, averaged over the last steps, and the recipe.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = None if folder is None else folder / f"images-{seed}.safetensors"
    images = kept_images(kept, IMAGES, SURROUNDINGS, generator)
    first, second = steps // 2, steps - steps // 2
    rates = [LEARNING_RATE * min(1, (step + 1) / WARM_UP) for step in range(first)]
    plan = {"steps": steps, "seed": seed, "images": len(images)}

    def checkpoint(stage: str) -> Checkpoint | None:
        if folder is None:
            return None
        return Checkpoint(folder / f"{stage}.safetensors", {**plan, "stage": stage})

    parts = _train(
        initial_parts(generator), images, rates, PAIRS, generator, checkpoint("learning"), note
    )
    rates, settling = _falling(SETTLING_RATE, second), generator_for("settling", seed)
    parts = _train(fold(parts), images, rates, SETTLED, settling, checkpoint("settling"), note)
    rates, balancing = _falling(BALANCING_RATE, BALANCING), generator_for("balancing", seed)
    parts = _train(
        parts, images, rates, BALANCED, balancing, checkpoint("balancing"), note, head_only=True
    )
    data = DataInfo(
        # As in the shipped weights: another name would change the files, not the images.
        source="dps_train.data.pretraining",
        images=len(images),
        sha256=hashlib.sha256(images.numpy().data).hexdigest(),
    )
    return parts, Recipe(data, steps, seed)


def _falling(rate: float, steps: int) -> list[float]:
    return [rate * (1 - step / steps) for step in range(steps)]


def _train(
    parts: EmbeddedParts,
    images: Tensor,
    rates: list[float],
    emphasis: Emphasis,
    generator: torch.Generator,
    checkpoint: Checkpoint | None,
    note: Callable[[str], None],
    *,
    head_only: bool = False,
) -> EmbeddedParts:
    """Train one step at each learning rate, and return the running average of the weights."""
    parts = parts.to(memory_format=torch.channels_last).train()
    average = AveragedModel(parts, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
    optimizer = _optimizer(parts.head if head_only else parts)
    contexts = importance_table(all_rankings())
    half = computes_in_half()
    graded = (*graded_pairs(MEMBERS), (FAMILY_SIZE - 2, FAMILY_SIZE - 1))
    composed = composed_pairs(MEMBERS)
    state = TrainingState(generator, parts=parts, average=average)
    done = 0 if checkpoint is None else state.load(checkpoint, optimizer)
    for step in track(range(done, len(rates)), "pretraining"):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        rows = torch.randint(len(images), (CROPS_PER_STEP,), generator=generator)
        surroundings = augment(images[rows].float() / 255, generator)
        crops = middle(surroundings, IMAGE_SIZE)
        family = draw_family(crops, generator, MEMBERS)
        family += draw_moved_windows(surroundings, IMAGE_SIZE, generator)
        with torch.set_grad_enabled(not head_only):
            changed = torch.stack([draw.images for draw in family], dim=1)
            z = parts.z(crops, changed, half=half and not head_only)
        drawn = torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)
        loss = additive_loss(
            parts.head, z, _targets(family), contexts[drawn], emphasis, graded, composed
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(parts)
        if step % 100 == 99:
            note(f"step {step + 1} of {len(rates)}: loss {loss.item():.3f}")
        last = step == len(rates) - 1
        if checkpoint is not None and (last or step % STEPS_KEPT == STEPS_KEPT - 1):
            state.save(checkpoint, optimizer, step + 1)
    averaged = average.module
    assert isinstance(averaged, EmbeddedParts)
    return averaged


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror images and vary channel order, gain, gamma, contrast and saturation.

    Images are float [N, 3, S, S] in [0, 1].
    """
    count = len(images)
    draw = torch.rand(count, 6, 1, 1, 1, generator=generator)
    images = torch.where(draw[:, 0] < 0.5, images.flip(-1), images)
    images = torch.where(draw[:, 1] < 0.2, images.flip(-2), images)
    images = torch.where(draw[:, 2] < 0.2, images.transpose(2, 3), images)
    order = torch.rand(count, 3, generator=generator).argsort(dim=1)
    order = torch.where(draw[:, 3, 0, 0] < 0.5, order, torch.arange(3))
    images = images[torch.arange(count)[:, None], order]
    normal = torch.randn(count, 5, 1, 1, generator=generator)
    images = images.clamp(min=1e-6) ** torch.exp(0.3 * normal[:, :1])
    images = images * torch.exp(0.12 * normal[:, 1:4] * (draw[:, 4] < 0.5))
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = level + (images - level) * (0.7 + 0.6 * draw[:, 5])
    gray = images.mean(dim=1, keepdim=True)
    return quantize(gray + (images - gray) * torch.exp(0.3 * normal[:, 4:]))


def _targets(family: list[Draw]) -> Tensor:
    """Return the amounts to report: [C, M, K + 1]."""
    amounts = torch.stack([draw.amounts for draw in family], dim=1)
    other = torch.stack([draw.other for draw in family], dim=1)
    return torch.cat([amounts, other[..., None]], dim=-1)


def _optimizer(module: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW, with weight decay for matrices only."""
    matrices = [value for value in module.parameters() if value.dim() > 1]
    vectors = [value for value in module.parameters() if value.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        betas=(0.9, 0.98),
    )
