"""Make the context file inside `dps_infer`: ``python -m dps_export.universal``.

It freezes the embedded metric (`dps_train.pretrain.train` makes its weights) with the context as
an input, and stores what the metric reports for distorted held-out images, from which
calibration and scores of any context follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from dps_export.export import export
from dps_infer.commands.shared.run import run, say
from dps_infer.files.write import check_output
from dps_infer.model import embedded
from dps_infer.model.manifest import Draws, Manifest
from dps_train.bank.bank import FeatureDistances
from dps_train.data.crops import resize_images
from dps_train.data.sources import Images, load_held_out
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.measure.stored_draws import reported_draws
from dps_train.model.description import data_info, metric_info
from dps_train.model.embedded.embedded_metric import NAME as UNIVERSAL
from dps_train.model.embedded.embedded_metric import load_universal, recipe
from dps_train.model.heads import AdditiveHead
from dps_train.model.metric import Metric
from dps_train.model.pair_encoder import IMAGE_SIZE
from dps_train.seeds import generator_for

NAME = "dps-universal"


def export_universal(output: Path, *, seed: int = 0, force: bool = False) -> Manifest:
    """Freeze the embedded metric into a universal context file.

    Args:
        output: the file to write.
        seed: of the draws.
        force: replace an existing file.

    Raises:
        DpsError: as `dps_export.export.export_run`.
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


def _draws(metric: Metric, held_out: Images, seed: int) -> Draws | None:
    distances = FeatureDistances(
        metric.preprocess, metric.backbone, metric.comparison, torch.device("cpu")
    )
    images = resize_images(held_out.images, IMAGE_SIZE)
    bank = build_evaluation_bank(distances, images, generator_for("draws", seed))
    assert isinstance(metric.head, AdditiveHead)
    return reported_draws(metric.head, bank)


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
