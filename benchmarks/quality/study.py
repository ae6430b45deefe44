"""The paper's experiment: metrics adapted to random rankings, beside the unadapted one.

For every ranking and variant a metric is trained and measured, as `dps-train study` does. With a
torchvision network this takes long.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from benchmarks.shared.options import DataOption, SeedOption, ThreadsOption, TrainDataOption
from benchmarks.shared.record import file_input, image_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_infer.errors import UsageError
from dps_train.fit import settings
from dps_train.fit.settings import BASELINE, VARIANTS, Settings
from dps_train.fit.training import load_images
from dps_train.study.plan import Study
from dps_train.study.run_study import run_study
from dps_train.study.summary import Summary, summarize


class Variant(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Means over the metrics of one variant; `dps_train.study.summary` explains the fields."""

    variant: str
    metrics: int
    improved: int
    score: float
    lowest: float
    baseline: float
    ceiling: float
    monotonicity: float
    composition: float
    stability: float
    retention: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The variants of one network."""

    backbone: str
    variants: list[Variant]


def measure(
    data: DataOption = "sample",
    train_data: TrainDataOption = "sample",
    rankings: Annotated[int, typer.Option(min=1, max=720, help="Random rankings.")] = 20,
    variants: Annotated[
        str, typer.Option(help=f"Some of {','.join(VARIANTS)}, joined by commas.")
    ] = "baseline,lin,additive",
    backbone: Annotated[str, typer.Option(help="`embedded` or a torchvision model.")] = "embedded",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (safetensors).")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=100, help="Training pairs of additive.  [default: as dps-train]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over them.  [default: as dps-train]")
    ] = None,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
) -> Measured:
    """Run the study in a temporary folder."""
    names = tuple(variants.split(","))
    for name in names:
        if name not in VARIANTS:
            raise UsageError(f"--variants names {name!r}: expected some of {','.join(VARIANTS)}")
    common = Settings(
        data=train_data,
        test_data=None if data == train_data else data,
        pairs=pairs,
        epochs=epochs,
        seed=seed,
        device="cpu",
    )
    study = Study(
        rankings=rankings,
        variants=cast(tuple[settings.Variant, ...], names),
        comparisons=(None,),
        backbones=(backbone,),
        weights={} if weights is None else {backbone: weights},
        repetitions=1,
        bapps=None,
        common=common,
    )
    with tempfile.TemporaryDirectory() as folder:
        summaries = summarize(run_study(study, Path(folder) / "study"))
    training, held_out = load_images(common)
    inputs = {
        "train_data": image_input(training, train_data),
        "data": image_input(held_out, data),
    }
    if weights is not None:
        inputs["weights"] = file_input(weights)
    return Measured(Figures(backbone=backbone, variants=list(map(_variant, summaries))), inputs)


def tables(figures: Figures) -> dict[str, Table]:
    """Return the measures, a column for each variant."""
    variants = figures.variants
    improved = [
        "" if one.variant == BASELINE else f"{one.improved} of {one.metrics}" for one in variants
    ]
    measures = {
        "2AFC, mean": "score",
        "2AFC, lowest ranking": "lowest",
        "2AFC, unadapted": "baseline",
        "2AFC, ceiling": "ceiling",
        "monotonicity": "monotonicity",
        "composition": "composition",
        "stability": "stability",
        "retention": "retention",
    }
    rows = [("improved", *improved)]
    for label, field in measures.items():
        rows.append((label, *(f"{getattr(one, field):.3f}" for one in variants)))
    title = f"{figures.backbone}, {variants[0].metrics} rankings"
    return {"": Table(("", *(one.variant for one in variants)), rows, title)}


def _variant(summary: Summary) -> Variant:
    improved, metrics = summary["improved"], summary["metrics"]
    assert isinstance(improved, float)
    assert isinstance(metrics, int)
    fields = {field: summary[field] for field in Variant.__struct_fields__}
    return msgspec.convert({**fields, "improved": round(improved * metrics)}, Variant)
