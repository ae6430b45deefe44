"""Train a metric for a context: images, initial metric, training, and measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.model.calibration import LEVELS
from dps_infer.model.manifest import Calibration, Draws, Ladder, MetricInfo, Scores
from dps_train.contexts import applied_context
from dps_train.custom.custom_distortion import all_distortions, split_custom, with_scenes
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import Images, load_held_out, load_split, load_training
from dps_train.devices import pick_device
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.settings import BASELINE, Settings
from dps_train.fit.train_variant import Note, train_variant
from dps_train.measure.anchor_ladders import anchor_ladders
from dps_train.measure.evaluation import Measures, evaluate
from dps_train.measure.evaluation_bank import EvaluationBank, build_evaluation_bank
from dps_train.measure.stored_draws import calibration_quantiles, reported_draws
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.description import data_info, metric_info
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import Head
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE
from dps_train.seeds import generator_for

MOST_HELD_OUT = 200


@dataclass(frozen=True)
class Agreement:
    """How far a metric agrees with people's judgements, as shares in [0, 1].

    Attributes:
        before: agreement of the initial metric.
        after: agreement of the trained metric.
        ceiling: agreement of someone who always answers as the majority of the judges did.
        triplets: number of triplets that are scored.
        cross_validated: whether `after` is the mean of fits that each left out the triplets they
            are scored on; otherwise it is the metric's own score on held-out triplets.
        intervals: by amount, the range of its importance in nine of ten cases, relative to the
            largest importance; None if no importances are fitted.
    """

    before: float
    after: float
    ceiling: float
    triplets: int
    cross_validated: bool = False
    intervals: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoresAgreement(Agreement):
    """The same where triplets are two candidates of a reference, judged by their scores.

    Attributes:
        pairs: how many pairs of a reference and a candidate are scored.
        references: how many.
        overall_before: Spearman correlation with people over all pairs, as `before`.
        overall_after: as `after`.
        within_before: mean Spearman correlation within references, as `before`.
        within_after: as `after`.
    """

    pairs: int
    references: int
    overall_before: float
    overall_after: float
    within_before: float
    within_after: float


@dataclass(frozen=True)
class Trained:
    """A trained metric and its figures.

    Attributes:
        metric: in evaluation mode.
        info: its description for manifests.
        calibration: in its context.
        measures: on held-out images.
        before: measures of the initial metric in the same context; None if that is untrained, or
            is the result.
        agreement: with the judgements that the metric was trained on, if any.
        draws: amounts that its head reports for known draws, for a universal context file; None
            if it reports none, or no image shows all distortions.
        ladders: well-known changes to read distances beside; none for a head without kinds.
    """

    metric: Metric
    info: MetricInfo
    calibration: Calibration
    measures: Measures
    before: Measures | None
    agreement: Agreement | None = None
    draws: Draws | None = None
    ladders: tuple[Ladder, ...] = ()


def train(settings: Settings, name: str, note: Note = lambda _: None) -> Trained:
    """Train a metric for a context, and measure it on held-out images.

    Args:
        settings: with a context; for judgements see `dps_train.fit.from_judgements`.
        name: the metric's name for its manifest.
        note: called with one line about a stored bank.

    Raises:
        DpsError: the data, the stored bank, the backbone, its weights or the device are missing
            or not valid.
    """
    context = settings.context
    assert context is not None, "expected a ranking or importances"
    if settings.variant != ADDITIVE:
        context = applied_context(context, [one.name for one in all_distortions(settings.custom)])
    device = pick_device(settings.device)
    metric = initial_metric(settings)
    training, held_out = load_images(settings)
    custom, custom_held_out = split_custom(settings.custom, settings.seed)
    settings = dataclasses.replace(settings, custom=custom)
    images, distortions = with_scenes(evaluation_images(metric, held_out), custom_held_out)
    bank = before = None
    if settings.variant != BASELINE and settings.from_embedded | (settings.variant != ADDITIVE):
        bank = evaluation_bank(metric, images, settings.seed, device, distortions)
        before = evaluate(metric.head, bank, [context])
    if train_variant(metric, settings, context, training, device, note) or bank is None:
        bank = evaluation_bank(metric, images, settings.seed, device, distortions)
    if metric.head.names_kinds:
        context = context.for_distortions(metric.head.kind_names)
        metric.head.set_importances(context.importances)
    measures = evaluate(metric.head, bank, [context])
    info = metric_info(
        metric,
        name=name,
        variant=settings.variant,
        training_data=data_info(training),
        held_out_data=data_info(held_out),
        seed=settings.seed,
        distortions=distortions,
    ).in_context(head_context(metric.head, context), name=name, scores=_scores(measures))
    return finish(metric, info, bank, measures, before=before)


def finish(
    metric: Metric,
    info: MetricInfo,
    bank: EvaluationBank,
    measures: Measures,
    *,
    before: Measures | None = None,
    agreement: Agreement | None = None,
) -> Trained:
    """Return a trained metric, on the CPU, with its calibration and draws on a bank."""
    head = metric.head
    calibration = Calibration(
        levels=LEVELS,
        distances=calibration_quantiles(head, bank, LEVELS),
        images=bank.noise.shape[0],
    )
    draws = reported_draws(head, bank) if head.names_kinds else None
    metric = metric.cpu().eval()
    ladders = tuple(anchor_ladders(metric)) if isinstance(metric, ChangeMetric) else ()
    return Trained(metric, info, calibration, measures, before, agreement, draws, ladders)


def head_context(head: Head, context: Context) -> Context:
    """Return the context as a head holds it: with one importance for each of its amounts.

    A head of one amount cannot hold importances of distortions; their order is kept as a ranking.
    """
    importances = dict(zip(head.names, head.importances.tolist(), strict=True))
    ranking = context.ranking
    if not head.names_kinds:
        ranking = context.order or None
    return dataclasses.replace(context, importances=importances, ranking=ranking)


def evaluation_images(metric: Metric, held_out: Images) -> Tensor:
    """Return held-out images at the size to measure a metric on: [M, 3, size, size] in [0, 1]."""
    return resize_images(held_out.images, metric.preprocess.size or TRAINING_SIZE)


def evaluation_bank(
    metric: Metric,
    images: Tensor,
    seed: int,
    device: torch.device,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> EvaluationBank:
    """Compare held-out images with changes of them; equal seeds give equal changes."""
    distances = FeatureDistances(metric, device)
    metric.head.cpu()
    return build_evaluation_bank(
        distances, images, generator_for("evaluation", seed), distortions=distortions
    )


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
