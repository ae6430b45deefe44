"""Make the context file inside `dps_infer`: ``python -m dps_export.universal``.

It freezes the embedded metric, whose weights `dps_train.pretrain.train` makes, with the context as
an input. It also stores the amounts that the metric reports for distorted held-out images, from
which calibration and scores of any context are computed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from dps_export.export import export
from dps_infer.errors import DpsError
from dps_infer.files.write import atomic_file, check_output, sha256_file
from dps_infer.model import embedded
from dps_infer.model.manifest import Draws, Manifest
from dps_train.data.crops import resize_images
from dps_train.data.sources import Images, load_held_out
from dps_train.measure.anchor_ladders import anchor_ladders
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.measure.stored_draws import reported_draws
from dps_train.model.description import data_info, metric_info
from dps_train.model.embedded.embedded_metric import NAME as UNIVERSAL
from dps_train.model.embedded.embedded_metric import load_universal, recipe
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.metric import Metric
from dps_train.model.pair_encoder import IMAGE_SIZE
from dps_train.seeds import generator_for


def export_universal(output: Path, *, seed: int = 0, force: bool = False) -> Manifest:
    """Freeze the embedded metric into a universal context file.

    Args:
        output: the file to write. Its SHA-256 is written beside it; see `dps_infer.model.embedded`.
        seed: of the draws.
        force: replace existing files.

    Raises:
        DpsError: see `dps_export.export.export_run`.
    """
    sidecar = output.with_name(f"{output.name}.sha256")
    for path in (output, sidecar):
        check_output(path, force=force)
    metric = load_universal()
    held_out = load_held_out("sample", generator_for("held-out images", seed))
    made = recipe()
    info = metric_info(
        metric,
        name=UNIVERSAL,
        training_data=made.data,
        held_out_data=data_info(held_out),
        seed=made.seed,
    )
    manifest = export(
        metric,
        info,
        output,
        draws=_draws(metric, held_out, seed),
        ladders=anchor_ladders(metric),
        force=force,
    )
    with atomic_file(sidecar, force=force) as temporary:
        temporary.write_text(f"{sha256_file(output)}\n", encoding="ascii")
    return manifest


def _draws(metric: Metric, held_out: Images, seed: int) -> Draws | None:
    distances = FeatureDistances(metric, torch.device("cpu"))
    images = resize_images(held_out.images, IMAGE_SIZE)
    bank = build_evaluation_bank(distances, images, generator_for("draws", seed))
    return reported_draws(metric.head, bank)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m dps_export.universal",
        description="Freeze the embedded metric into the universal context file of dps_infer.",
    )
    parser.add_argument("--out", type=Path, default=embedded.UNIVERSAL, help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    options = parser.parse_args()
    try:
        parity = export_universal(options.out, force=options.force).parity
    except DpsError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    size = options.out.stat().st_size / 1e6
    sys.stderr.write(
        f"{options.out} written: {size:.2f} MB, within {parity.max_abs_error:.1g} of PyTorch on "
        f"{parity.pairs} pairs\n"
    )


if __name__ == "__main__":
    main()
