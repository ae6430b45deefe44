"""Make the embedded metric: ``python -m dps_train.pretrain``.

Backbone, pair encoder and head learn together, for all rankings at once, to tell the
amounts of the six distortions and of other kinds of change apart, on data that anyone
has: scikit-image's bundled photographs and drawn images (`dps_train.pretrain.images.mixture`),
recoloured and mirrored. The photographs held out of `sample` stay out.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
import typer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dps_infer.commands.shared.run import run, say
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model.manifest import DataInfo
from dps_infer.progress import track
from dps_train.contexts import AMOUNTS, all_rankings, importance_table
from dps_train.distortions.paper import quantize
from dps_train.distortions.random_changes import (
    FAMILY,
    Draw,
    Kinds,
    composed_pairs,
    draw_family,
    draw_moved_windows,
    graded_pairs,
    middle,
)
from dps_train.fit.additive import (
    BALANCED,
    CONTEXTS_PER_BATCH,
    PAIRS,
    SETTLED,
    Emphasis,
    additive_loss,
)
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.embedded.embedded_metric import Recipe
from dps_train.model.heads import PairHead
from dps_train.model.metric import Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder
from dps_train.pretrain.fold_batch_norm import fold_convolutions, fold_inputs, half_state
from dps_train.pretrain.images.mixture import pretraining_images
from dps_train.seeds import generator_for

NAME = "dps-pretrain"

IMAGES = 20_000
SURROUNDINGS = 96
"""Pixels along each side of the images of which the middle is looked at."""

CROPS_PER_STEP = 16
KINDS: Kinds = (*FAMILY, ("two", 4), ("other", 2))
MOVED_WINDOWS = 2
MEMBERS = sum(count for _, count in KINDS) + MOVED_WINDOWS
LEARNING_RATE, SETTLING_RATE, BALANCING_RATE = 2.5e-3, 1e-3, 5e-4
"""Of the first half, after `WARM_UP` steps; of the second, and of the head alone after that, in
which it falls to 0."""

BALANCING = 800
"""Steps of the head alone."""

WARM_UP = 100
WEIGHT_DECAY = 0.02
AVERAGE = 0.997
"""Share that the running average of the weights keeps at each step."""


class Pretraining(nn.Module):
    """The parts of the embedded metric, with or without batch normalisation."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        self.backbone = embedded_backbone.EmbeddedNetwork(batch_norm=batch_norm)
        self.comparison = PairEncoder(batch_norm=batch_norm)
        self.head = PairHead(CODE, AMOUNTS)

    def z(self, reference: Tensor, changed: Tensor, *, half: bool = True) -> Tensor:
        """Return z [C, M, D] of references [C, 3, H, W] and their families [C, M, 3, H, W].

        `half` computes in half precision, which is several times faster to train in.
        """
        crops, members = changed.shape[:2]
        images = _normalize(torch.cat([reference, changed.transpose(0, 1).flatten(0, 1)]))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps = self.backbone(images.to(memory_format=torch.channels_last)).values()
            maps = self.comparison.normalized(list(maps))
            first = [torch.cat([layer[:crops]] * members) for layer in maps]
            second = [layer[crops:] for layer in maps]
            return self.comparison(first, second).unflatten(0, (members, crops)).transpose(0, 1)


def pretrain(steps: int, seed: int) -> tuple[Pretraining, Recipe]:
    """Train the embedded metric.

    The first half learns with batch normalisation at a constant rate. Then it is folded
    away, and the second half settles the network as it will be used. At last the head
    alone is balanced between single changes and combinations.

    Args:
        steps: batches of `CROPS_PER_STEP` images with `MEMBERS` changes each, in the halves.
        seed: of everything random.

    Returns:
        The metric's parts, averaged over the last steps, and how they came about.
    """
    generator = torch.Generator().manual_seed(seed)
    images = pretraining_images(IMAGES, SURROUNDINGS, generator)
    first = steps // 2
    model = _seeded(generator)
    model = _train(model, images, [_warm(step) for step in range(first)], PAIRS, generator)
    model = fold(model)
    falling = [SETTLING_RATE * (1 - step / (steps - first)) for step in range(steps - first)]
    settling = generator_for("settling", seed)
    model = _train(model, images, falling, SETTLED, settling)
    falling = [BALANCING_RATE * (1 - step / BALANCING) for step in range(BALANCING)]
    balancing = generator_for("balancing", seed)
    model = _train(model, images, falling, BALANCED, balancing, head_only=True)
    data = DataInfo(
        source="dps_train.data.pretraining",
        images=len(images),
        sha256=hashlib.sha256(images.numpy().data).hexdigest(),
    )
    return model, Recipe(data, steps, seed)


def _warm(step: int) -> float:
    return LEARNING_RATE * min(1, (step + 1) / WARM_UP)


def _train(
    model: Pretraining,
    images: Tensor,
    rates: list[float],
    emphasis: Emphasis,
    generator: torch.Generator,
    *,
    head_only: bool = False,
) -> Pretraining:
    """Train for one step at each learning rate, and return the average over the last ones."""
    model = model.to(memory_format=torch.channels_last).train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
    optimizer = _optimizer(model.head if head_only else model)
    contexts = importance_table(all_rankings())
    graded = (*graded_pairs(KINDS), (MEMBERS - 2, MEMBERS - 1))
    composed = composed_pairs(KINDS)
    for step in track(range(len(rates)), "pretraining"):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        rows = torch.randint(len(images), (CROPS_PER_STEP,), generator=generator)
        surroundings = vary(images[rows].float() / 255, generator)
        crops = middle(surroundings, IMAGE_SIZE)
        family = draw_family(crops, generator, KINDS)
        family += draw_moved_windows(surroundings, IMAGE_SIZE, generator)
        with torch.set_grad_enabled(not head_only):
            changed = torch.stack([draw.images for draw in family], dim=1)
            z = model.z(crops, changed, half=not head_only)
        drawn = torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)
        loss = additive_loss(
            model.head, z, _targets(family), contexts[drawn], emphasis, graded, composed
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(model)
        if step % 100 == 99:
            say(NAME, f"step {step + 1} of {len(rates)}: loss {loss.item():.3f}")
    averaged = average.module
    assert isinstance(averaged, Pretraining)
    return averaged


def vary(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror float images [N, 3, S, S] in [0, 1]; vary order, gain, gamma and saturation."""
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
    grey = images.mean(dim=1, keepdim=True)
    return quantize(grey + (images - grey) * torch.exp(0.3 * normal[:, 4:]))


def fold(model: Pretraining) -> Pretraining:
    """Return the same function without batch normalisation, and parameters as they are stored."""
    model = copy.deepcopy(model).eval()
    fold_convolutions(model)
    statistics = model.comparison.statistics
    assert isinstance(statistics.normalize, nn.BatchNorm1d)
    fold_inputs(statistics.normalize, statistics.linear)
    statistics.normalize = nn.Identity()
    # Layers draw weights from the global state when they are made, which is not to notice.
    with torch.random.fork_rng(devices=[]):
        folded = Pretraining(batch_norm=False)
    folded.load_state_dict(half_state(model))
    return folded


def stored(model: Pretraining) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of the backbone, and those of pair encoder and head, as stored."""
    rest = nn.ModuleDict({"comparison": model.comparison, "head": model.head})
    return half_state(model.backbone), half_state(rest)


def _targets(family: list[Draw]) -> Tensor:
    """Return the amounts to report: [C, M, K + 1]."""
    amounts = torch.stack([draw.amounts for draw in family], dim=1)
    other = torch.stack([draw.other for draw in family], dim=1)
    return torch.cat([amounts, other[..., None]], dim=-1)


def _seeded(generator: torch.Generator) -> Pretraining:
    """Return the parts with weights drawn from `generator`."""
    # PyTorch's layers draw from the global state when they are made: fork and seed it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        return Pretraining(batch_norm=True)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    matrices = [value for value in model.parameters() if value.dim() > 1]
    vectors = [value for value in model.parameters() if value.dim() <= 1]
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


def _normalize(images: Tensor) -> Tensor:
    return Preprocess(IMAGE_SIZE).normalize(images)


app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def main(
    steps: Annotated[int, typer.Option(min=10, help="Training steps.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the two weight files; default: the package's own.")
    ] = embedded_backbone.WEIGHTS.parent,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Train the embedded metric and write its weights."""
    files = [out / embedded_backbone.WEIGHTS.name, out / embedded_metric.WEIGHTS.name]
    for file in files:
        check_output(file, force=force)
    model, recipe = pretrain(steps, seed)
    for file, weights in zip(files, stored(model), strict=True):
        with atomic_file(file, force=force) as temporary:
            safetensors.torch.save_file(weights, temporary, metadata=recipe.metadata())
    pairs = steps * CROPS_PER_STEP * MEMBERS
    say(NAME, f"{' and '.join(str(file) for file in files)} written after {pairs} pairs")


if __name__ == "__main__":
    run(app, NAME)
