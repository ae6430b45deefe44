"""Write and read run folders, complete and verified.

``runs/<name>/`` holds ``metric.safetensors`` (every parameter and buffer), ``metrics.json`` (the
evaluation) and ``manifest.json`` (the description, the calibration, and the hashes of the other
two).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from dps_infer.files.write import atomic_folder, sha256_file
from dps_infer.model.manifest import MetricInfo
from dps_infer.model.run_folder import (
    FORMAT_VERSION,
    MANIFEST,
    RunError,
    RunManifest,
    read_manifest,
)
from dps_train.contexts import AMOUNTS, PAPER_AMOUNTS
from dps_train.fit.training import Trained
from dps_train.model import pair_encoder
from dps_train.model.backbone.backbones import Backbone
from dps_train.model.backbone.weights import load_strictly, read_weights
from dps_train.model.change.change_features import MOTION
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.general_distance import TERMS
from dps_train.model.change.presence_head import PresenceHead
from dps_train.model.codes import ChannelCode, PairCode
from dps_train.model.comparisons import Comparison
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.heads import PairHead, ScalarHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.names import ADDITIVE
from dps_train.model.pair_encoder import CODE, PairEncoder

METRIC = "metric.safetensors"
METRICS = "metrics.json"


def save_run(
    folder: Path,
    trained: Trained,
    *,
    settings: Mapping[str, int | float | str],
    force: bool = False,
) -> None:
    """Write a run folder; it appears only when it is complete.

    Args:
        folder: the folder to write.
        trained: the metric and its figures.
        settings: settings of the training to record.
        force: replace an existing folder.

    Raises:
        OutputError: the folder exists (without `force`) or cannot be written.
    """
    with atomic_folder(folder, force=force) as temporary:
        state = {
            name: value.cpu().contiguous() for name, value in trained.metric.state_dict().items()
        }
        safetensors.torch.save_file(state, temporary / METRIC)
        metrics = asdict(trained.measures)
        if trained.agreement is not None:
            metrics["agreement"] = asdict(trained.agreement)
        (temporary / METRICS).write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        manifest = RunManifest(
            format=FORMAT_VERSION,
            metric=trained.info,
            calibration=trained.calibration,
            draws=trained.draws,
            ladders=list(trained.ladders),
            settings=dict(settings),
            files={name: sha256_file(temporary / name) for name in (METRIC, METRICS)},
        )
        (temporary / MANIFEST).write_bytes(
            msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        )


def load_run(folder: Path) -> tuple[Metric, RunManifest]:
    """Read and verify a run folder.

    Returns:
        The metric in evaluation mode, and the run's manifest.

    Raises:
        RunError: the folder or one of its files is missing, or a file was changed.
    """
    manifest = read_manifest(folder)
    for name in (METRIC, METRICS):
        if not (folder / name).is_file():
            raise RunError(f"{folder} lacks {name}: the run is incomplete, train it again")
        if sha256_file(folder / name) != manifest.files.get(name):
            raise RunError(
                f"{folder / name} was changed after the training (its hash differs): restore it "
                "or train again"
            )
    weights = read_weights(folder / METRIC)
    if "head.importances" not in weights:
        raise RunError(f"{folder / METRIC} holds no head: train the run again")
    metric = _metric(manifest, weights)
    info = manifest.metric
    load_strictly(metric, weights, origin=str(folder / METRIC))
    stated = torch.tensor(list((info.importances or {}).values()))
    if not torch.equal(metric.head.importances, stated):
        raise RunError(
            f"the importances of {folder / MANIFEST} and of {METRIC} differ: train the run again"
        )
    return metric.eval(), manifest


def _metric(manifest: RunManifest, weights: dict[str, Tensor]) -> Metric:
    """Return the metric that a run's manifest describes, with initial weights."""
    info = manifest.metric
    custom = tuple(name for name in info.amounts if name not in AMOUNTS)
    preprocess = Preprocess(info.working_size, info.normalize_mean, info.normalize_std)
    backbone = Backbone(info.backbone, info.layers)
    if info.variant != ADDITIVE:
        comparison = Comparison(info.comparison, channel_norm=info.channel_norm)
        # Missing weights are reported when the weights are loaded.
        scalars = ScalarHead(len(weights.get("head.weights", ())))
        return Metric(preprocess, backbone, comparison, scalars)
    metric = ChangeMetric(preprocess, backbone, _code(info, weights))
    if custom:
        assert isinstance(metric.head, PresenceHead)
        metric.head = ExtendedHead(metric.head, custom)
    return metric


def _code(info: MetricInfo, weights: dict[str, Tensor]) -> PairCode | ChannelCode:
    if info.comparison == pair_encoder.NAME:
        return PairCode(PairEncoder(), PairHead(CODE, PAPER_AMOUNTS))
    comparison = Comparison(info.comparison, channel_norm=info.channel_norm)
    shared = next((w for name, w in weights.items() if name.endswith("layers.shared.mean")), ())
    return ChannelCode(comparison, max(0, len(shared) - MOTION - TERMS))
