"""One training from start to end: images, bank, head, evaluation, run folder's contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dps_infer.calibration import LEVELS
from dps_infer.manifest import Calibration, MetricInfo, Scores
from dps_train.backbones import load_backbone
from dps_train.bank import PURPOSE, Bank, FeatureDistances, build_bank
from dps_train.bank_file import stored_bank
from dps_train.comparisons import Comparison
from dps_train.contexts import AMOUNTS, Context
from dps_train.data.batches import TRAINING_SIZE, whole
from dps_train.data.sources import Images, load_held_out, load_split, load_training
from dps_train.description import data_info, metric_info
from dps_train.devices import pick_device
from dps_train.evaluate import (
    EvaluationBank,
    Measures,
    build_evaluation_bank,
    calibration_quantiles,
    evaluate,
)
from dps_train.fit import adapt_additive, fit_additive
from dps_train.heads import ChannelHead, Head
from dps_train.metric import Metric, Preprocess
from dps_train.seeds import generator_for
from dps_train.universal import load_universal

MOST_HELD_OUT = 200
EMBEDDED, SCRATCH = "embedded", "scratch"
"""What a training may start from."""


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes:
        context: what counts as disruptive.
        data: ``sample`` or a folder of images.
        test_data: where held-out images come from instead of a share of `data`.
        start: ``embedded`` adapts the embedded metric, ``scratch`` trains a new head on the
            channel distances of `backbone`.
        backbone: ``embedded`` or a torchvision model; the embedded metric has its own, as it
            has its own layers, comparison and size.
        layers: node names; None takes the preset.
        weights: a safetensors file for the backbone; None takes its own.
        comparison: see `dps_train.comparisons`.
        size: working size in pixels; None keeps the images' own.
        pairs: how many the bank holds, at least.
        epochs: passes over the bank.
        seed: of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
        bank: folder to keep the distance bank in, or to take it from; None keeps none.
        renew_bank: whether a stored bank that does not match is built anew.
    """

    context: Context
    data: str = "sample"
    test_data: str | None = None
    start: str = EMBEDDED
    backbone: str = "embedded"
    layers: tuple[str, ...] | None = None
    weights: Path | None = None
    comparison: str = "spatial+mean+layout"
    size: int | None = 64
    pairs: int = 60_000
    epochs: int = 15
    seed: int = 0
    device: str = "auto"
    bank: Path | None = None
    renew_bank: bool = False


@dataclass(frozen=True)
class Trained:
    """A trained metric and what is known about it.

    Attributes:
        metric: in evaluation mode.
        info: for its manifest.
        calibration: in its context.
        measures: on held-out images.
        before: the same of the embedded metric that it started from, if it did.
    """

    metric: Metric
    info: MetricInfo
    calibration: Calibration
    measures: Measures
    before: Measures | None


def train(settings: Settings, name: str, note: Callable[[str], None] = lambda _: None) -> Trained:
    """Adapt or train an additive head on a distance bank, and measure it on held-out images.

    Args:
        settings: what to train.
        name: of the metric, for its manifest.
        note: is told in one line what became of a stored bank.

    Raises:
        DpsError: the data, the stored bank, the backbone, its weights or the device cannot be had.
    """
    device = pick_device(settings.device)
    generator = torch.Generator().manual_seed(settings.seed)
    start = load_universal() if settings.start == EMBEDDED else _untrained(settings)
    if settings.test_data is None:
        training, held_out = load_split(settings.data, generator)
    else:
        training = load_training(settings.data, generator)
        held_out = load_held_out(settings.test_data, generator)
    held_out = Images(held_out.source, held_out.images[:MOST_HELD_OUT])
    size = settings.size or TRAINING_SIZE

    distances = FeatureDistances(start.preprocess, start.backbone, start.comparison, device)
    evaluation = build_evaluation_bank(distances, whole(held_out.images, size), generator)
    bank = _bank(settings, distances, training, size, note)
    head, before = start.head, None
    for_head = generator_for("head", settings.seed)
    if isinstance(head, ChannelHead):
        fit_additive(head, bank, epochs=settings.epochs, generator=for_head)
    else:
        before = evaluate(head, evaluation, [settings.context])
        adapt_additive(head, bank, epochs=settings.epochs, generator=for_head)
    head.set_importances(settings.context.importances)
    measures = evaluate(head, evaluation, [settings.context])
    metric = start.cpu().eval()
    return Trained(
        metric,
        _info(settings, name, metric, training, held_out, measures),
        _calibration(head, evaluation),
        measures,
        before,
    )


def _untrained(settings: Settings) -> Metric:
    """Return the metric whose head is to be trained from scratch."""
    backbone = load_backbone(settings.backbone, layers=settings.layers, weights=settings.weights)
    comparison = Comparison(settings.comparison)
    preprocess = Preprocess(settings.size)
    probe = torch.zeros(1, 3, TRAINING_SIZE, TRAINING_SIZE)
    with torch.no_grad():
        maps = comparison.normalized(backbone(probe))
        channels = comparison(maps, maps).shape[1]
    return Metric(preprocess, backbone, comparison, ChannelHead(channels, AMOUNTS))


def _bank(
    settings: Settings,
    distances: FeatureDistances,
    training: Images,
    size: int,
    note: Callable[[str], None],
) -> Bank:
    if settings.bank is None:
        return build_bank(
            distances,
            training.images,
            pairs=settings.pairs,
            size=size,
            generator=generator_for(PURPOSE, settings.seed),
        )
    return stored_bank(
        settings.bank,
        distances,
        training,
        pairs=settings.pairs,
        size=size,
        seed=settings.seed,
        force=settings.renew_bank,
        note=note,
    )


def _info(
    settings: Settings,
    name: str,
    metric: Metric,
    training: Images,
    held_out: Images,
    measures: Measures,
) -> MetricInfo:
    context = settings.context
    return metric_info(
        metric,
        name=name,
        ranking=None if context.given else [list(group) for group in context.ranking],
        importances=dict(context.importances),
        training_data=data_info(training),
        held_out_data=data_info(held_out),
        seed=settings.seed,
        scores=_scores(measures),
    )


def _scores(measures: Measures) -> Scores | None:
    if measures.score is None or measures.baseline is None or measures.ceiling is None:
        return None
    return Scores(
        baseline=measures.baseline.mean,
        adapted=measures.score.mean,
        ceiling=measures.ceiling.mean,
    )


def _calibration(head: Head, bank: EvaluationBank) -> Calibration:
    return Calibration(
        levels=LEVELS,
        distances=calibration_quantiles(head, bank, LEVELS),
        images=bank.noise.shape[0],
    )
