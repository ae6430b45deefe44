"""Agreement with rankings, and the marks of a metric, on images that training never saw.

The embedded metric is measured on photographs, on their thumbnails, on rendered pages of text and
on the held-out part of `sample`; with --weights, a metric on SqueezeNet 1.1 is trained and measured
on the photographs too. Figures are those of `dps-train evaluate embedded --rankings all`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer

from benchmarks.shared.domains import pages as draw_pages
from benchmarks.shared.domains import thumbnails
from benchmarks.shared.measures import Row, extent, measure_rows, share
from benchmarks.shared.options import (
    DataOption,
    SeedOption,
    ThreadsOption,
    TrainDataOption,
    WeightsOption,
)
from benchmarks.shared.record import file_input, image_input, shown
from benchmarks.shared.suite import NAME, Measured
from benchmarks.shared.table import Table
from dps_infer.commands.shared.run import say
from dps_infer.contexts.context import Context
from dps_train.contexts import random_rankings
from dps_train.data.sources import Images, load_held_out
from dps_train.fit.settings import Settings
from dps_train.fit.training import train
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric

SAMPLE = "sample"
EMBEDDED = "embedded"
SQUEEZENET = "SqueezeNet 1.1"


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """A row for each metric and set of images."""

    rows: list[Row]


def measure(
    data: DataOption = SAMPLE,
    pages: Annotated[int, typer.Option(min=1, help="Pages of text to draw.")] = 60,
    rankings: Annotated[int, typer.Option(min=1, max=720, help="Random rankings.")] = 720,
    weights: WeightsOption = None,
    train_data: TrainDataOption = SAMPLE,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Measure the metrics on all images."""
    metric = load_universal()
    photographs, contexts = _drawn(data, rankings, seed)
    inputs = {"data": image_input(photographs, data)}
    kinds = {}
    if data != SAMPLE:
        kinds = {
            shown(data): photographs,
            f"thumbnails of {shown(data)}": thumbnails(photographs),
        }
    kinds["pages of text"] = draw_pages(pages)
    kinds[SAMPLE], _ = _drawn(SAMPLE, rankings, seed)
    rows = []
    for label, images in kinds.items():
        say(NAME, f"{EMBEDDED}, {label}")
        rows += measure_rows(metric, EMBEDDED, images, label, contexts, seed=seed)
    if weights is not None:
        say(NAME, f"{SQUEEZENET}, trained on {shown(train_data)}")
        trained = _train(weights, train_data, data, contexts[0], seed)
        inputs["weights"] = file_input(weights)
        name = f"{SQUEEZENET}, trained on {shown(train_data)}"
        rows += measure_rows(trained, name, photographs, shown(data), contexts, seed=seed)
    return Measured(Figures(rows), inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return the table of measures, and one of changes that training never saw."""
    kinds = list(figures.rows[0].retention)
    return {
        "": Table(
            (
                "metric",
                "images",
                "2AFC",
                "lowest",
                "ceiling",
                "improved",
                "monotonicity",
                "composition",
                "stability",
            ),
            [
                (
                    row.metric,
                    row.images,
                    share(row.score),
                    share(row.lowest),
                    share(row.ceiling),
                    f"{row.improved:.1%}".replace(".0%", "%"),
                    extent(row.monotonicity),
                    f"{row.composition:.2f}",
                    "" if row.stability is None else f"{row.stability:.4f}",
                )
                for row in figures.rows
            ],
            f"{figures.rows[0].rankings} rankings",
        ),
        "retention": Table(
            ("metric", "images", *kinds),
            [
                (row.metric, row.images, *(f"{row.retention[kind]:.2f}" for kind in kinds))
                for row in figures.rows
            ],
            "monotonicity for kinds of change that training never saw",
        ),
    }


def _drawn(data: str, rankings: int, seed: int) -> tuple[Images, list[Context]]:
    """Return images and rankings, drawn in the order of ``dps-train evaluate``."""
    generator = torch.Generator().manual_seed(seed)
    contexts = random_rankings(rankings, generator)
    return load_held_out(data, generator), contexts


def _train(weights: Path, train_data: str, data: str, context: Context, seed: int) -> Metric:
    """Train an additive metric on SqueezeNet's features; it serves all rankings alike."""
    settings = Settings(
        context=context,
        data=train_data,
        test_data=None if data == train_data else data,
        start="scratch",
        backbone="squeezenet1_1",
        weights=weights,
        seed=seed,
        device="cpu",
    )
    return train(settings, SQUEEZENET).metric
