"""One training in a context from start to end: images, metric, what the variant fits, measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.model.calibration import LEVELS
from dps_infer.model.manifest import Calibration, Draws, MetricInfo, Scores
from dps_train.bank.bank import FeatureDistances
from dps_train.custom.custom_distortion import split_custom, with_scenes
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import Images, load_held_out, load_split, load_training
from dps_train.devices import pick_device
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.initial_metric import starting_metric
from dps_train.fit.settings import BASELINE, Settings
from dps_train.fit.variants import fit_variant
from dps_train.measure.evaluation import Measures, evaluate
from dps_train.measure.evaluation_bank import EvaluationBank, build_evaluation_bank
from dps_train.measure.stored_draws import calibration_quantiles, reported_draws
from dps_train.model.description import data_info, metric_info
from dps_train.model.heads import AdditiveHead, ChannelHead, Head
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

MOST_HELD_OUT = 200


@dataclass(frozen=True)
class Agreement:
    """Share of judgements that a metric agrees with, in [0, 1], and how sure its context is.

    Attributes:
        before: of the metric that it started from.
        after: of the trained one.
        ceiling: of whoever always answers as the majority of the judges did.
        triplets: how many were held out, or left out in turn.
        cross_validated: whether `after` is of fits without the triplets that they are scored on,
            left out in turn; otherwise of the metric itself on held-out triplets.
        intervals: by amount, between which values an importance lies in nine of ten cases, the
            largest being 1; None where no importances are fitted.
    """

    before: float
    after: float
    ceiling: float
    triplets: int
    cross_validated: bool = False
    intervals: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True)
class Trained:
    """A trained metric and what is known about it.

    Attributes:
        metric: in evaluation mode.
        info: for its manifest.
        calibration: in its context.
        measures: on held-out images.
        before: the same of the metric that it started from, in the same context; None where
            that knew nothing, or is the result.
        agreement: with people, where their judgements are the context.
        draws: what its amounts of known draws are, for a universal context file; None where its
            head reports none, or no image shows all distortions.
    """

    metric: Metric
    info: MetricInfo
    calibration: Calibration
    measures: Measures
    before: Measures | None
    agreement: Agreement | None = None
    draws: Draws | None = None


def train(settings: Settings, name: str, note: Callable[[str], None] = lambda _: None) -> Trained:
    """Train a variant in a context, and measure it on held-out images.

    Args:
        settings: what to train; `dps_train.fit.from_judgements` takes those with judgements.
        name: of the metric, for its manifest.
        note: is told in one line what became of a stored bank.

    Raises:
        DpsError: the data, the stored bank, the backbone, its weights or the device cannot be had.
    """
    context = settings.context
    assert context is not None, "expected a ranking or importances"
    device = pick_device(settings.device)
    metric = starting_metric(settings)
    training, held_out = load_images(settings)
    own, own_held_out = split_custom(settings.own, settings.seed)
    settings = dataclasses.replace(settings, own=own)
    images, distortions = with_scenes(evaluation_images(metric, held_out), own_held_out)
    evaluation = evaluation_bank(metric, images, settings.seed, device, distortions)
    before = None
    if settings.variant != BASELINE and not isinstance(metric.head, ChannelHead):
        before = evaluate(metric.head, evaluation, [context])
    if fit_variant(metric, settings, context, training, device, note):
        evaluation = evaluation_bank(metric, images, settings.seed, device, distortions)
    if isinstance(metric.head, AdditiveHead):
        metric.head.set_importances(context.importances)
    measures = evaluate(metric.head, evaluation, [context])
    info = metric_info(
        metric,
        name=name,
        variant=settings.variant,
        ranking=_ranking(context, metric.head),
        importances=head_importances(metric.head),
        training_data=data_info(training),
        held_out_data=data_info(held_out),
        seed=settings.seed,
        scores=_scores(measures),
        distortions=distortions,
    )
    return Trained(
        metric.cpu().eval(),
        info,
        calibration(metric, evaluation),
        measures,
        before,
        draws=draws(metric.head, evaluation),
    )


def evaluation_images(metric: Metric, held_out: Images) -> Tensor:
    """Return held-out images as they are measured on: [M, 3, size, size] in [0, 1]."""
    return resize_images(held_out.images, metric.preprocess.size or TRAINING_SIZE)


def evaluation_bank(
    metric: Metric,
    images: Tensor,
    seed: int,
    device: torch.device,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> EvaluationBank:
    """Compare held-out images with changes of them, which are the same for equal seeds."""
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)
    metric.head.cpu()
    return build_evaluation_bank(
        distances, images, generator_for("evaluation", seed), distortions=distortions
    )


def calibration(metric: Metric, bank: EvaluationBank) -> Calibration:
    """Return the quantiles of a metric's distances, in the context that it is in."""
    return Calibration(
        levels=LEVELS,
        distances=calibration_quantiles(metric.head, bank, LEVELS),
        images=bank.noise.shape[0],
    )


def draws(head: Head, bank: EvaluationBank) -> Draws | None:
    """Return what a universal context file needs to know, of a head that reports amounts."""
    return reported_draws(head, bank) if isinstance(head, AdditiveHead) else None


def head_importances(head: Head) -> dict[str, float]:
    """Return the importance of each amount that a head reports."""
    return dict(zip(head.names, head.importances.tolist(), strict=True))


def _ranking(context: Context, head: Head) -> list[list[str]] | None:
    """Return the ranking for a manifest.

    A head of one amount cannot keep importances that were given: their order stays.
    """
    if context.ranking is None and isinstance(head, AdditiveHead):
        return None
    return [list(group) for group in context.order]


def load_images(settings: Settings) -> tuple[Images, Images]:
    """Return the images to train on, and those to measure on."""
    generator = generator_for("images", settings.seed)
    if settings.test_data is None:
        training, held_out = load_split(settings.data, generator)
    else:
        training = load_training(settings.data, generator)
        held_out = load_held_out(settings.test_data, generator)
    return training, Images(held_out.source, held_out.images[:MOST_HELD_OUT])


def _scores(measures: Measures) -> Scores | None:
    if measures.score is None or measures.baseline is None or measures.ceiling is None:
        return None
    return Scores(
        baseline=measures.baseline.mean,
        adapted=measures.score.mean,
        ceiling=measures.ceiling.mean,
    )
