"""Train a metric on triplets that people judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.model.manifest import DataInfo, JudgementsInfo, Scores
from dps_train.contexts import AMOUNTS, measured_context
from dps_train.custom.custom_distortion import CustomDistortion, split_custom, with_scenes
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images, read_pixels
from dps_train.devices import pick_device
from dps_train.fit.end_to_end.batches import TripletBatches
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.lin import fit_lin_to_triplets
from dps_train.fit.settings import LIN, Settings
from dps_train.fit.train_variant import Note, train_additive, train_network
from dps_train.fit.training import (
    MOST_HELD_OUT,
    Agreement,
    Trained,
    evaluation_bank,
    evaluation_images,
    finish,
    head_context,
    load_images,
)
from dps_train.judgements.bapps import TRAIN, read_bapps
from dps_train.judgements.importances import cross_validated, fit_importances
from dps_train.judgements.read_triplets import FEWEST_JUDGEMENTS, read_triplets
from dps_train.judgements.scoring import two_afc_agreement
from dps_train.judgements.triplets import Triplets, split_triplets, triplet_batches
from dps_train.measure.evaluation import evaluate
from dps_train.model.description import metric_info
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import Head, ScalarHead
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

BATCH = 64


def train_on_judgements(settings: Settings, name: str, note: Note = lambda _: None) -> Trained:
    """Train a metric on judged triplets, and measure it.

    The additive variant fits a few importances to all triplets; its agreement is cross-validated.
    For the other variants, triplets are held out by reference image. The marks of a metric are
    measured on the references of the triplets that the agreement is scored on.

    Args:
        settings: with judgements.
        name: the metric's name for its manifest.
        note: called with one line about suspicious judgements that are kept.

    Raises:
        DpsError: the judgements, the backbone, its weights or the device are missing or not
            valid.
    """
    assert settings.judgements is not None
    device = pick_device(settings.device)
    triplets = _read(settings.judgements, note)
    metric = initial_metric(settings)
    custom, custom_held_out = split_custom(settings.custom, settings.seed)
    if custom:
        images_to_change, _ = load_images(settings)
        settings = dataclasses.replace(settings, custom=custom)
        train_additive(metric, settings, images_to_change, device, note)
    if metric.head.names_kinds:
        training = held_out = triplets
        agreement = _fit_importances(metric, metric.head, triplets, settings, device)
    else:
        training, held_out = split_triplets(triplets, generator_for("triplets", settings.seed))
        agreement = _fit_triplets(metric, settings, training, held_out, device)
    return describe_fitted(
        metric,
        settings,
        name,
        agreement,
        JudgementsInfo(source=triplets.source, triplets=len(training), sha256=training.sha256()),
        training_data=_data_info(training),
        held_out_data=_data_info(held_out),
        references=list(dict.fromkeys(held_out.reference)),
        custom=custom_held_out,
    )


def describe_fitted(
    metric: Metric,
    settings: Settings,
    name: str,
    agreement: Agreement,
    judgements: JudgementsInfo,
    *,
    training_data: DataInfo,
    held_out_data: DataInfo,
    references: Sequence[Path],
    custom: Sequence[CustomDistortion],
) -> Trained:
    """Measure a metric that was fitted to judgements, and return it with its description.

    Args:
        metric: the metric.
        settings: of the training.
        name: the metric's name for its manifest.
        agreement: with the judgements.
        judgements: the judgements that it was fitted to, for its manifest.
        training_data: the images of these judgements, for its manifest.
        held_out_data: the images that the agreement was measured on, for its manifest.
        references: images to measure on; the first `MOST_HELD_OUT` are used.
        custom: custom distortions to measure with.
    """
    originals = tuple(read_pixels(path) for path in references[:MOST_HELD_OUT])
    images = evaluation_images(metric, Images(held_out_data.source, originals))
    images, distortions = with_scenes(images, custom)
    bank = evaluation_bank(metric, images, settings.seed, pick_device(settings.device), distortions)
    context = Context(dict.fromkeys(AMOUNTS, 1.0), judgements=judgements.triplets)
    scores = Scores(baseline=agreement.before, adapted=agreement.after, ceiling=agreement.ceiling)
    info = metric_info(
        metric,
        name=name,
        variant=settings.variant,
        judgements=judgements,
        training_data=training_data,
        held_out_data=held_out_data,
        seed=settings.seed,
        distortions=distortions,
    ).in_context(head_context(metric.head, context), name=name, scores=scores)
    measures = evaluate(metric.head, bank, [measured_context(info)])
    return finish(metric, info, bank, measures, agreement=agreement)


def _read(path: Path, note: Note) -> Triplets:
    """Read a CSV file, or the training part of a BAPPS folder."""
    if not path.is_dir():
        return read_triplets(path, note, fewest=FEWEST_JUDGEMENTS)
    return read_bapps(path, TRAIN).all_triplets()


def _fit_importances(
    metric: Metric,
    head: Head,
    triplets: Triplets,
    settings: Settings,
    device: torch.device,
) -> Agreement:
    """Fit the importances to all triplets, and cross-validate the agreement."""
    size = settings.size or TRAINING_SIZE
    first, second = channel_distances(metric, triplets, size, device)
    judge = torch.tensor(triplets.judge)
    head.cpu()
    with torch.no_grad():
        before = two_afc_agreement(head(first).numpy(), head(second).numpy(), triplets.judge)
        amounts = head.amounts(first), head.amounts(second)
    fitted = fit_importances(*amounts, judge)
    head.set_importances(dict(zip(head.names, fitted.importances, strict=True)))
    folds = generator_for("folds", settings.seed)
    intervals = fitted.intervals(generator_for("intervals", settings.seed))
    return Agreement(
        before,
        cross_validated(*amounts, judge, triplets.reference, folds),
        triplets.ceiling,
        len(triplets),
        cross_validated=True,
        intervals=dict(zip(head.names, intervals, strict=True)),
    )


def _fit_triplets(
    metric: Metric,
    settings: Settings,
    training: Triplets,
    held_out: Triplets,
    device: torch.device,
) -> Agreement:
    """Train scalars, and with some variants the network, on triplets."""
    size = settings.size or TRAINING_SIZE
    before = _agreement(metric, held_out, size, device)
    if settings.end_to_end:
        batches = TripletBatches(training, size, settings.seed)
        train_network(metric, settings, batches, training.sha256())
    elif settings.variant == LIN:
        assert isinstance(metric.head, ScalarHead)
        first, second = channel_distances(metric, training, size, device)
        metric.head.weights.data = fit_lin_to_triplets(
            first,
            second,
            torch.tensor(training.judge),
            generator=generator_for("head", settings.seed),
            objective=settings.objective,
        )
    after = _agreement(metric, held_out, size, device)
    return Agreement(before, after, held_out.ceiling, len(held_out))


def _agreement(metric: Metric, triplets: Triplets, size: int, device: torch.device) -> float:
    metric.eval()
    metric.head.cpu()
    with torch.no_grad():
        z = channel_distances(metric, triplets, size, device)
        first, second = (metric.head(candidate).numpy() for candidate in z)
    return two_afc_agreement(first, second, triplets.judge)


def channel_distances(
    metric: Metric, triplets: Triplets, size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return z of the first and of the second candidates, each [T, D].

    Args:
        metric: the metric whose network compares them.
        triplets: T triplets.
        size: side in pixels that images are resized to first.
        device: where the network runs.

    Raises:
        ImageError: an image can no longer be read.
    """
    distances = FeatureDistances(metric, device)
    first, second = [], []
    for batch in triplet_batches(triplets, BATCH, size):
        reference = distances.maps(batch.reference)
        first.append(distances.z(reference, batch.p0))
        second.append(distances.z(reference, batch.p1))
    return torch.cat(first), torch.cat(second)


def _data_info(triplets: Triplets) -> DataInfo:
    return DataInfo(
        source=triplets.source,
        images=len(set(triplets.reference)),
        sha256=triplets.sha256(),
    )
