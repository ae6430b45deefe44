"""One training from start to end: images, bank, head, evaluation, run folder's contents."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from dps_infer.manifest import (
    Calibration,
    DataInfo,
    DistortionInfo,
    MetricInfo,
    Scores,
    WeightsInfo,
)
from dps_train.backbones import IMAGENET_MEAN, IMAGENET_STD, load_backbone
from dps_train.bank import FeatureDistances, build_bank
from dps_train.comparisons import Comparison
from dps_train.contexts import AMOUNTS, Context
from dps_train.data.batches import TRAINING_SIZE, whole
from dps_train.data.sources import Images, load_held_out, load_split, load_training
from dps_train.devices import pick_device
from dps_train.distortions import DISTORTIONS
from dps_train.evaluate import (
    EvaluationBank,
    Measures,
    build_evaluation_bank,
    calibration_quantiles,
    evaluate,
)
from dps_train.fit import fit_additive
from dps_train.heads import AdditiveHead
from dps_train.metric import Metric, Preprocess
from dps_train.versions import installed_versions

CALIBRATION_LEVELS = [step / 100 for step in range(101)]
MOST_HELD_OUT = 200
TOOLS = ("dps-toolkit", "torch", "torchvision", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes:
        context: what counts as disruptive.
        data: ``sample`` or a folder of images.
        test_data: where held-out images come from instead of a share of `data`.
        backbone: ``embedded`` or a torchvision model.
        layers: node names; None takes the preset.
        weights: a safetensors file for the backbone; None takes its own.
        comparison: see `dps_train.comparisons`.
        size: working size in pixels; None keeps the images' own.
        pairs: how many the bank holds, at least.
        epochs: passes over the bank.
        seed: of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    context: Context
    data: str = "sample"
    test_data: str | None = None
    backbone: str = "embedded"
    layers: tuple[str, ...] | None = None
    weights: Path | None = None
    comparison: str = "spatial+mean+layout"
    size: int | None = 64
    pairs: int = 60_000
    epochs: int = 15
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Trained:
    """A trained metric and what is known about it."""

    metric: Metric
    info: MetricInfo
    calibration: Calibration
    measures: Measures


def train(settings: Settings, name: str) -> Trained:
    """Train the additive head on a distance bank and measure it on held-out images.

    Args:
        settings: what to train.
        name: of the metric, for its manifest.

    Raises:
        DpsError: the data, the backbone, its weights or the device cannot be had.
    """
    device = pick_device(settings.device)
    generator = torch.Generator().manual_seed(settings.seed)
    backbone = load_backbone(settings.backbone, layers=settings.layers, weights=settings.weights)
    if settings.test_data is None:
        training, held_out = load_split(settings.data, generator)
    else:
        training = load_training(settings.data, generator)
        held_out = load_held_out(settings.test_data, generator)
    held_out = Images(held_out.source, held_out.images[:MOST_HELD_OUT])
    size = settings.size or TRAINING_SIZE

    preprocess = Preprocess(settings.size)
    comparison = Comparison(settings.comparison)
    distances = FeatureDistances(preprocess, backbone, comparison, device)
    bank = build_bank(
        distances, training.images, pairs=settings.pairs, size=size, generator=generator
    )
    head = AdditiveHead(bank.z.shape[-1], AMOUNTS)
    fit_additive(head, bank, epochs=settings.epochs, generator=generator)
    head.set_importances(settings.context.importances)
    evaluation = build_evaluation_bank(distances, whole(held_out.images, size), generator)
    measures = evaluate(head, evaluation, [settings.context])
    metric = Metric(preprocess, backbone, comparison, head).cpu().eval()
    return Trained(
        metric,
        _info(settings, name, backbone.weights, backbone.layers, training, held_out, measures),
        _calibration(head, evaluation, settings.context),
        measures,
    )


def distortion_infos() -> list[DistortionInfo]:
    """Describe the six distortions for a manifest."""
    return [
        DistortionInfo(
            name=d.name,
            parameter=d.parameter,
            range=d.range,
            strength=d.unit,
            threshold=d.threshold,
            reference=d.reference,
        )
        for d in DISTORTIONS
    ]


def _info(
    settings: Settings,
    name: str,
    weights: WeightsInfo,
    layers: tuple[str, ...],
    training: Images,
    held_out: Images,
    measures: Measures,
) -> MetricInfo:
    context = settings.context
    return MetricInfo(
        name=name,
        variant="additive",
        ranking=None if context.given else [list(group) for group in context.ranking],
        importances=dict(context.importances),
        distortions=distortion_infos(),
        backbone=settings.backbone,
        layers=list(layers),
        comparison=settings.comparison,
        channel_norm=True,
        normalize_mean=IMAGENET_MEAN,
        normalize_std=IMAGENET_STD,
        working_size=settings.size,
        weights=weights,
        training_data=_data_info(training),
        held_out_data=_data_info(held_out),
        seed=settings.seed,
        scores=_scores(measures),
        tools={"python": platform.python_version(), **installed_versions(TOOLS)},
    )


def _scores(measures: Measures) -> Scores | None:
    if measures.score is None or measures.baseline is None or measures.ceiling is None:
        return None
    return Scores(
        baseline=measures.baseline.mean,
        adapted=measures.score.mean,
        ceiling=measures.ceiling.mean,
    )


def _data_info(images: Images) -> DataInfo:
    return DataInfo(source=images.source, images=len(images.images), sha256=images.sha256())


def _calibration(head: AdditiveHead, bank: EvaluationBank, context: Context) -> Calibration:
    return Calibration(
        levels=CALIBRATION_LEVELS,
        distances=calibration_quantiles(head, bank, context, CALIBRATION_LEVELS),
        images=bank.noise.shape[0],
    )
