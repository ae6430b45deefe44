"""One training on triplets that people judged, from start to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.model.manifest import DataInfo, JudgementsInfo, Scores
from dps_train.bank.bank import FeatureDistances
from dps_train.contexts import AMOUNTS
from dps_train.custom.custom_distortion import split_custom, with_scenes
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images, read_pixels
from dps_train.devices import pick_device
from dps_train.fit.initial_metric import starting_metric
from dps_train.fit.lin import fit_lin_to_triplets
from dps_train.fit.settings import END_TO_END, LIN, Settings
from dps_train.fit.training import (
    MOST_HELD_OUT,
    Agreement,
    Trained,
    calibration,
    draws,
    evaluation_bank,
    evaluation_images,
    head_importances,
    load_images,
)
from dps_train.fit.triplet_batches import TRIPLETS_PER_BATCH, Batch, triplet_batch
from dps_train.fit.variants import fit_end_to_end, teach_own
from dps_train.judgements.bapps import TRAIN, read_bapps
from dps_train.judgements.importances import cross_validated, fit_importances
from dps_train.judgements.read_triplets import FEWEST_JUDGEMENTS, read_triplets
from dps_train.judgements.scoring import two_afc_agreement
from dps_train.judgements.triplets import Triplets, load_triplets, split_triplets, triplet_batches
from dps_train.measure.evaluation import evaluate
from dps_train.model.description import metric_info
from dps_train.model.heads import AdditiveHead, Head, ScalarHead
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for

BATCH = 64


def train_on_judgements(
    settings: Settings, name: str, note: Callable[[str], None] = lambda _: None
) -> Trained:
    """Train a variant on judged triplets, and measure it on ones that it was not fitted to.

    Of the additive variant, a few importances are fitted to all triplets, and the agreement is
    cross-validated. For the others triplets are held out by reference image. The marks of a
    metric are measured on the references that the agreement is.

    Args:
        settings: what to train.
        name: of the metric, for its manifest.
        note: is told in one line of what is kept though it is strange.

    Raises:
        DpsError: the judgements, the backbone, its weights or the device cannot be had.
    """
    assert settings.triplets is not None
    device = pick_device(settings.device)
    triplets = _read(settings.triplets, note)
    metric = starting_metric(settings)
    size = settings.size or TRAINING_SIZE
    own, own_held_out = split_custom(settings.own, settings.seed)
    if own:
        images_to_change, _ = load_images(settings)
        teach_own(metric, dataclasses.replace(settings, own=own), images_to_change, device, note)
    if isinstance(metric.head, AdditiveHead):
        training = held_out = triplets
        agreement = _fit_importances(metric, metric.head, triplets, size, device, settings.seed)
    else:
        training, held_out = split_triplets(triplets, generator_for("triplets", settings.seed))
        before = _agreement(metric, held_out, size, device)
        if settings.variant in END_TO_END:
            batches = TripletBatches(training, size, settings.seed)
            fit_end_to_end(metric, settings, batches, training.sha256())
        else:
            _fit_scalars(metric, metric.head, settings, training, size, device)
        after = _agreement(metric, held_out, size, device)
        agreement = Agreement(before, after, _ceiling(held_out), len(held_out))

    references = list(dict.fromkeys(held_out.reference))[:MOST_HELD_OUT]
    images = Images(held_out.source, tuple(read_pixels(path) for path in references))
    shown, distortions = with_scenes(evaluation_images(metric, images), own_held_out)
    evaluation = evaluation_bank(metric, shown, settings.seed, device, distortions)
    info = metric_info(
        metric,
        name=name,
        variant=settings.variant,
        ranking=None,
        importances=head_importances(metric.head),
        judgements=JudgementsInfo(
            source=triplets.source, triplets=len(training), sha256=training.sha256()
        ),
        training_data=_data_info(training),
        held_out_data=_data_info(held_out),
        seed=settings.seed,
        scores=Scores(
            baseline=agreement.before, adapted=agreement.after, ceiling=agreement.ceiling
        ),
        distortions=distortions,
    )
    return Trained(
        metric.cpu().eval(),
        info,
        calibration(metric, evaluation),
        evaluate(metric.head, evaluation, [_context(metric.head)]),
        None,
        agreement,
        draws(metric.head, evaluation),
    )


def _read(path: Path, note: Callable[[str], None]) -> Triplets:
    """Read a CSV file, or the training part of a BAPPS folder."""
    if not path.is_dir():
        return read_triplets(path, note, fewest=FEWEST_JUDGEMENTS)
    return read_bapps(path, TRAIN).all_triplets()


def _fit_importances(
    metric: Metric,
    head: AdditiveHead,
    triplets: Triplets,
    size: int,
    device: torch.device,
    seed: int,
) -> Agreement:
    """Fit the importances to all triplets; how far they agree is cross-validated."""
    first, second = channel_distances(metric, triplets, size, device)
    judge = torch.tensor(triplets.judge)
    head.cpu()
    with torch.no_grad():
        before = two_afc_agreement(head(first).numpy(), head(second).numpy(), triplets.judge)
        amounts = head.amounts(first), head.amounts(second)
    fitted = fit_importances(*amounts, judge)
    head.set_importances(dict(zip(head.names, fitted.importances, strict=True)))
    after = cross_validated(*amounts, judge, triplets.reference, generator_for("folds", seed))
    intervals = fitted.intervals(generator_for("intervals", seed))
    return Agreement(
        before,
        after,
        _ceiling(triplets),
        len(triplets),
        cross_validated=True,
        intervals=dict(zip(head.names, intervals, strict=True)),
    )


def _fit_scalars(
    metric: Metric,
    head: Head,
    settings: Settings,
    training: Triplets,
    size: int,
    device: torch.device,
) -> None:
    if settings.variant != LIN:
        return
    assert isinstance(head, ScalarHead)
    first, second = channel_distances(metric, training, size, device)
    head.weights.data = fit_lin_to_triplets(
        first,
        second,
        torch.tensor(training.judge),
        generator=generator_for("head", settings.seed),
        objective=settings.objective,
    )


def _ceiling(triplets: Triplets) -> float:
    return float(np.mean([max(judge, 1 - judge) for judge in triplets.judge]))


def _context(head: Head) -> Context:
    """Return what the marks of a metric are measured in: people order no distortions."""
    if isinstance(head, AdditiveHead):
        return Context(head_importances(head), ranking=())
    return Context(dict.fromkeys(AMOUNTS, 1.0), ranking=())


def _data_info(triplets: Triplets) -> DataInfo:
    return DataInfo(
        source=triplets.source,
        images=len(set(triplets.reference)),
        sha256=triplets.sha256(),
    )


@dataclass(frozen=True)
class TripletBatches:
    """Batches of triplets, drawn anew for each step."""

    triplets: Triplets
    size: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        generator = generator_for(f"triplet batch {step}", self.seed)
        rows = torch.randint(len(self.triplets), (TRIPLETS_PER_BATCH,), generator=generator)
        drawn = load_triplets(self.triplets.select(rows.tolist()), self.size)
        return triplet_batch(drawn.reference, drawn.p0, drawn.p1, drawn.judge)


def channel_distances(
    metric: Metric, triplets: Triplets, size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return z of the first and of the second candidates: each [T, D].

    Args:
        metric: whose network looks at them.
        triplets: what to look at.
        size: side in pixels that images are brought to first.
        device: where the network runs.

    Raises:
        ImageError: an image cannot be read any more.
    """
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)
    first, second = [], []
    for batch in triplet_batches(triplets, BATCH, size):
        reference = distances.maps(batch.reference)
        first.append(distances.z(reference, batch.p0))
        second.append(distances.z(reference, batch.p1))
    return torch.cat(first), torch.cat(second)


def _agreement(metric: Metric, triplets: Triplets, size: int, device: torch.device) -> float:
    metric.eval()
    metric.head.cpu()
    with torch.no_grad():
        first, second = (metric.head(z) for z in channel_distances(metric, triplets, size, device))
    return two_afc_agreement(first.numpy(), second.numpy(), triplets.judge)
