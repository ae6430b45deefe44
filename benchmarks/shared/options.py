"""Options that several benchmarks have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    str, typer.Option(help="Photographs to measure on: a folder, or `sample` (scikit-image's).")
]
TrainDataOption = Annotated[str, typer.Option(help="Images to train on: a folder, or `sample`.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Weights of SqueezeNet 1.1 (safetensors, torchvision's names).")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads to compute on.")]
