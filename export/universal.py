"""Make the context file inside `dps_infer`: ``python -m dps_export.universal``.

It freezes the embedded metric (`dps_train.pretrain` makes its weights) with the context as
an input, and stores what the metric reports for distorted held-out images, from which
calibration and scores of any context follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from dps_export.exporting import export
from dps_infer import embedded
from dps_infer.command import run, say
from dps_infer.files import check_output
from dps_infer.manifest import Draws, Manifest
from dps_train.bank import FeatureDistances
from dps_train.data.batches import whole
from dps_train.data.sources import Images, load_held_out
from dps_train.description import data_info, metric_info
from dps_train.distortions import NAMES
from dps_train.evaluate import DRAWS, build_evaluation_bank
from dps_train.metric import Metric
from dps_train.pair_encoder import IMAGE_SIZE
from dps_train.seeds import generator_for
from dps_train.universal import NAME as UNIVERSAL
from dps_train.universal import load_universal, recipe

NAME = "dps-universal"
DIGITS = 5
"""Of the stored numbers: more would say nothing about so few images."""


def export_universal(output: Path, *, seed: int = 0, force: bool = False) -> Manifest:
    """Freeze the embedded metric into a universal context file.

    Args:
        output: the file to write.
        seed: of the draws.
        force: replace an existing file.

    Raises:
        DpsError: as `dps_export.exporting.export_run`.
    """
    check_output(output, force=force)
    metric = load_universal()
    held_out = load_held_out("sample", generator_for("held-out images", seed))
    made = recipe()
    info = metric_info(
        metric,
        name=UNIVERSAL,
        ranking=None,
        importances=None,
        training_data=made.data,
        held_out_data=data_info(held_out),
        seed=made.seed,
        scores=None,
    )
    return export(metric, info, output, draws=_draws(metric, held_out, seed), force=force)


def _draws(metric: Metric, held_out: Images, seed: int) -> Draws:
    distances = FeatureDistances(
        metric.preprocess, metric.backbone, metric.comparison, torch.device("cpu")
    )
    images = whole(held_out.images, IMAGE_SIZE)
    bank = build_evaluation_bank(distances, images, generator_for("draws", seed))
    with torch.no_grad():
        reported = metric.head.amounts(bank.drawn)
        uniform = metric.head.total(bank.drawn)
    return Draws(
        images=len(images),
        per_image=DRAWS,
        amounts={
            name: [[_rounded(value) for value in row] for row in _rows(reported[number]).tolist()]
            for number, name in enumerate(NAMES)
        },
        true_amounts=_by_name(bank.drawn_amounts),
        uniform=_by_name(uniform),
    )


def _by_name(values: torch.Tensor) -> dict[str, list[float]]:
    """Return values [K, DRAWS, images] per distortion, image by image."""
    return {
        name: [_rounded(value) for value in _rows(values[number]).tolist()]
        for number, name in enumerate(NAMES)
    }


def _rows(values: torch.Tensor) -> torch.Tensor:
    """Bring draws [DRAWS, images, ...] into the order of images: [images * DRAWS, ...]."""
    return values.transpose(0, 1).flatten(0, 1)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="The file to write.")] = embedded.UNIVERSAL,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Freeze the embedded metric into the universal context file of dps_infer."""
    manifest = export_universal(out, force=force)
    say(
        NAME,
        f"{out} written: {out.stat().st_size / 1e6:.2f} MB, within "
        f"{manifest.parity.max_abs_error:.1g} of PyTorch on {manifest.parity.pairs} pairs",
    )


if __name__ == "__main__":
    run(app, NAME)
