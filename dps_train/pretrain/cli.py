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
from dps_train.pretrain.train import CROPS_PER_STEP, FAMILY_SIZE, pretrain

NAME = "dps-pretrain"

app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def train_embedded(
    steps: Annotated[int, typer.Option(min=10, help="Training steps.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder of the two weight files; default: the package's own.")
    ] = embedded_backbone.WEIGHTS.parent,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Train the embedded metric and write its weights."""
    files = [out / embedded_backbone.WEIGHTS.name, out / embedded_metric.WEIGHTS.name]
    for file in files:
        check_output(file, force=force)
    parts, recipe = pretrain(steps, seed, lambda text: say(NAME, text))
    for file, weights in zip(files, stored_weights(parts), strict=True):
        with atomic_file(file, force=force) as temporary:
            safetensors.torch.save_file(weights, temporary, metadata=recipe.metadata())
    pairs = steps * CROPS_PER_STEP * FAMILY_SIZE
    say(NAME, f"{' and '.join(str(file) for file in files)} written after {pairs} pairs")


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    run(app, NAME)
