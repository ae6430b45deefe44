"""Three heads on the embedded network side by side: unadapted, the paper's linear one, and ours.

The linear head is trained for every ranking, the additive one once for all. Figures are those of
`dps-train evaluate embedded --heads uniform,lin,additive`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
import typer

from benchmarks.shared.measures import Row, measure_rows, share
from benchmarks.shared.options import DataOption, SeedOption, ThreadsOption, TrainDataOption
from benchmarks.shared.record import image_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_train.contexts import random_rankings
from dps_train.data.sources import load_held_out, load_training
from dps_train.evaluate.heads import UNIFORM
from dps_train.fit.settings import LIN
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.names import ADDITIVE
from dps_train.seeds import generator_for

HEADS = (UNIFORM, LIN, ADDITIVE)


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """A row for each head."""

    rows: list[Row]


def measure(
    data: DataOption = "sample",
    train_data: TrainDataOption = "sample",
    rankings: Annotated[int, typer.Option(min=1, max=720, help="Random rankings.")] = 20,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Measure the heads on the same changes of the same images."""
    generator = torch.Generator().manual_seed(seed)
    contexts = random_rankings(rankings, generator)
    images = load_held_out(data, generator)
    training = load_training(train_data, generator_for("training images", seed))
    rows = measure_rows(
        load_universal(), "", images, "", contexts, heads=HEADS, training=training, seed=seed
    )
    inputs = {"data": image_input(images, data), "train_data": image_input(training, train_data)}
    return Measured(Figures(rows), inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return all measures, a column for each head."""
    rows = figures.rows
    lines = [
        ("2AFC, mean", *(share(row.score) for row in rows)),
        ("2AFC, lowest ranking", *(share(row.lowest) for row in rows)),
        ("2AFC, ceiling", *(share(row.ceiling) for row in rows)),
        ("improved", *(share(row.improved) for row in rows)),
    ]
    lines += _by_name("monotonicity", [row.monotonicity for row in rows])
    lines += [
        ("composition", *(share(row.composition) for row in rows)),
        ("stability", *(share(row.stability) for row in rows)),
    ]
    lines += _by_name("retention", [row.retention for row in rows])
    lines += _by_name("named", [row.named for row in rows])
    title = f"{rows[0].rankings} rankings, {rows[0].count} images"
    return {"": Table(("measure", *(row.metric for row in rows)), lines, title)}


def _by_name(measure: str, values: list[dict[str, float]]) -> list[tuple[str, ...]]:
    """Return a line for each name that any of the heads has."""
    names = dict.fromkeys(name for some in values for name in some)
    return [(f"{measure}, {name}", *(share(some.get(name)) for some in values)) for name in names]
