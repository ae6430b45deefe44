"""The command line ``python -m dps_train.pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import safetensors.torch
import typer

from dps_infer.commands.shared.run import run, say
from dps_infer.files.write import atomic_file, check_output
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.pretrain.embedded_parts import stored_weights
from dps_train.pretrain.presence import STEPS, pretrain_presence
from dps_train.pretrain.train import CROPS_PER_STEP, FAMILY_SIZE, pretrain

NAME = "dps-pretrain"

app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def train_embedded(
    steps: Annotated[int, typer.Option(min=10, help="Training steps of the network.")] = 5000,
    head_steps: Annotated[int, typer.Option(min=10, help="Training steps of the head.")] = STEPS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    head_only: Annotated[
        bool, typer.Option("--head-only", help="Keep the network of the package as it is.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder of the weight files; default: the package's own.")
    ] = embedded_backbone.WEIGHTS.parent,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps checkpoints and measured pairs, so that a run that was cut "
            "off continues. Default: none is kept."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Train the embedded metric and write its weights."""
    backbone, encoder, head = (
        out / path.name
        for path in (embedded_backbone.WEIGHTS, embedded_metric.WEIGHTS, embedded_metric.PRESENCE)
    )
    for file in (head,) if head_only else (backbone, encoder, head):
        check_output(file, force=force)
    network_work, head_work = (
        None if work is None else work / name for name in ("network", "head")
    )
    for folder in (network_work, head_work):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if not head_only:
        parts, recipe = pretrain(steps, seed, network_work, lambda text: say(NAME, text))
        for file, weights in zip((backbone, encoder), stored_weights(parts), strict=True):
            with atomic_file(file, force=force) as temporary:
                safetensors.torch.save_file(weights, temporary, metadata=recipe.metadata())
        pairs = steps * CROPS_PER_STEP * FAMILY_SIZE
        say(NAME, f"{backbone} and {encoder} written after {pairs} pairs")
    metric = embedded_metric.untrained_universal(*(() if head_only else (backbone, encoder)))
    recipe = pretrain_presence(
        metric, seed, head_work, steps=head_steps, note=lambda text: say(NAME, text)
    )
    with atomic_file(head, force=force) as temporary:
        weights = embedded_metric.presence_weights(metric)
        safetensors.torch.save_file(weights, temporary, metadata=recipe.metadata())
    say(NAME, f"{head} written after {head_steps} steps")


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    run(app, NAME)
