"""Make the embedded backbone: ``python -m dps_train.pretrain``.

The network learns, end to end and for all rankings at once, to tell the amounts of the
six distortions and of other kinds of change apart, on data that anyone has:
scikit-image's bundled photographs and dead leaves, cropped, recoloured and mirrored.
The photographs held out of `sample` stay out. The head is a means only: what is kept are
the network's weights, on which any head can be trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
import typer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dps_infer.command import run, say
from dps_infer.files import atomic_file, check_output
from dps_train import embedded
from dps_train.backbones import IMAGENET_MEAN, IMAGENET_STD
from dps_train.comparisons import Comparison
from dps_train.contexts import AMOUNTS, all_rankings, importance_table
from dps_train.data.batches import TRAINING_SIZE, random_crops
from dps_train.data.dead_leaves import dead_leaves
from dps_train.data.sources import TRAINING_PHOTOGRAPHS, Image, photograph
from dps_train.distortions import quantize
from dps_train.draws import FAMILY_SIZE, draw_family
from dps_train.fit import CONTEXTS_PER_BATCH, additive_loss, initialise, target_amounts
from dps_train.heads import AdditiveHead
from dps_train.progress import track

NAME = "dps-pretrain"

MORE_PHOTOGRAPHS = ("gravel", "coins", "moon", "immunohistochemistry", "page", "text", "clock")
LEAVES = 96
CROPS_PER_BATCH = 24
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
AVERAGE = 0.995
"""Share that the running average of the weights keeps at each step."""

SETTLED = 0.3
"""Share of the training after which the scales of the head's inputs stay as they are."""


class Pretraining(nn.Module):
    """The network with the head that teaches it."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.network = embedded.EmbeddedNetwork().to(memory_format=torch.channels_last)
        _initialise_network(self.network, generator)
        self.comparison = Comparison("spatial+mean")
        channels = self.z(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 3, 64, 64)).shape[-1]
        self.head = AdditiveHead(channels, AMOUNTS)
        initialise(self.head, generator)

    def z(self, reference: Tensor, changed: Tensor) -> Tensor:
        """Return z [C, F, D] of references [C, 3, H, W] and their families [C, F, 3, H, W]."""
        crops, family = changed.shape[:2]
        images = _normalize(torch.cat([reference, changed.flatten(0, 1)]))
        # Half precision and channels last are several times faster on CPUs; the comparison,
        # whose differences are small, stays in full precision.
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.network(images.to(memory_format=torch.channels_last)).values()
        normalized = self.comparison.normalized([layer.float() for layer in maps])
        first = [layer[:crops].repeat_interleave(family, dim=0) for layer in normalized]
        second = [layer[crops:] for layer in normalized]
        return self.comparison(first, second).unflatten(0, (crops, family))


def pretrain(steps: int, seed: int) -> dict[str, Tensor]:
    """Train the embedded network.

    Args:
        steps: batches of `CROPS_PER_BATCH` crops with a family of changes each.
        seed: of everything random.

    Returns:
        The network's parameters and buffers, averaged over the last steps.
    """
    generator = torch.Generator().manual_seed(seed)
    images = _images(generator)
    model = Pretraining(generator)
    average = AveragedModel(
        model.network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    contexts = importance_table(all_rankings())
    for step in track(range(steps), "pretraining"):
        crops = recolour(random_crops(images, CROPS_PER_BATCH, TRAINING_SIZE, generator), generator)
        family = draw_family(crops, generator)
        z = model.z(crops, torch.stack([draw.images for draw in family], dim=1))
        if step < SETTLED * steps:
            model.head.follow_scales(z.detach().flatten(0, 1), 1.0 if step == 0 else 0.05)
        targets = target_amounts(
            model.head,
            z.detach(),
            torch.stack([draw.amounts for draw in family], dim=1),
            torch.stack([draw.other for draw in family], dim=1),
        )
        drawn = torch.randint(len(contexts), (CONTEXTS_PER_BATCH,), generator=generator)
        loss = additive_loss(model.head, z, targets, contexts[drawn])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model.network)
        if step % 100 == 99:
            say(NAME, f"step {step + 1} of {steps}: loss {loss.item():.3f}")
    network = average.module
    assert isinstance(network, nn.Module)
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Vary channels' order, gamma and saturation of float images [N, 3, H, W] in [0, 1]."""
    count = len(images)
    order = torch.rand(count, 3, generator=generator).argsort(dim=1)
    images = images[torch.arange(count)[:, None], order]
    draw = torch.randn(count, 2, 1, 1, 1, generator=generator)
    images = images.clamp(min=1e-6) ** torch.exp(0.35 * draw[:, 0])
    grey = images.mean(dim=1, keepdim=True)
    return quantize(grey + (images - grey) * torch.exp(0.3 * draw[:, 1]))


def _images(generator: torch.Generator) -> list[Image]:
    photographs = [photograph(name) for name in (*TRAINING_PHOTOGRAPHS, *MORE_PHOTOGRAPHS)]
    leaves = [dead_leaves(256, generator) for _ in range(LEAVES)]
    # Photographs are few and rich: they make up half of what is seen.
    return photographs * (LEAVES // len(photographs)) + leaves


def _normalize(images: Tensor) -> Tensor:
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    return (images - mean) / torch.tensor(IMAGENET_STD)[:, None, None]


def _initialise_network(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)


app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def main(
    steps: Annotated[int, typer.Option(min=10, help="Training steps.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="The weight file to write.")] = embedded.WEIGHTS,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Train the embedded backbone and write its weights."""
    check_output(out, force=force)
    weights = pretrain(steps, seed)
    recipe = {"steps": str(steps), "seed": str(seed), "crops_per_step": str(CROPS_PER_BATCH)}
    with atomic_file(out, force=force) as temporary:
        safetensors.torch.save_file(weights, temporary, metadata=recipe)
    pairs = steps * CROPS_PER_BATCH * FAMILY_SIZE
    say(NAME, f"{out} written after {pairs} pairs")


if __name__ == "__main__":
    run(app, NAME)
