"""Train a metric as its variant requires: nothing, the head, or the network as well."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dps_infer.contexts.context import Context
from dps_infer.model.manifest import WeightsInfo
from dps_train.contexts import check_ordered
from dps_train.custom.custom_distortion import all_distortions
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.fit.end_to_end.batches import Batches, ranking_batches
from dps_train.fit.end_to_end.loggers import open_logger
from dps_train.fit.end_to_end.train import train_end_to_end
from dps_train.fit.extend_head import extend
from dps_train.fit.lin import EPOCHS as LIN_EPOCHS
from dps_train.fit.lin import draw_lin_bank, fit_lin
from dps_train.fit.presence.bank import measured_pairs
from dps_train.fit.presence.fit import EPOCHS, collections, fit_presence
from dps_train.fit.presence.loss import z_of
from dps_train.fit.settings import LIN, SAMPLE, Settings
from dps_train.model.backbone.weights import state_sha256
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.presence_head import PresenceHead
from dps_train.model.extended_head import ExtendedHead
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE
from dps_train.seeds import generator_for

Note = Callable[[str], None]

CUSTOM_EPOCHS = 15
"""Default number of passes over the pairs with custom distortions."""


def train_variant(
    metric: Metric,
    settings: Settings,
    context: Context,
    training: Images,
    device: torch.device,
    note: Note = lambda _: None,
) -> bool:
    """Train a metric as its variant requires, in place.

    Args:
        metric: from `dps_train.fit.initial_metric`.
        settings: of the training.
        context: what counts as disruptive.
        training: images to train on; recorded distortions bring their own in `settings.custom`.
        device: where the network runs.
        note: called with one line about a stored bank.

    Returns:
        Whether z has changed: the network was trained, or the head for cells.
    """
    if settings.end_to_end:
        size = settings.size or TRAINING_SIZE
        batches = ranking_batches(training.images, context, size=size, seed=settings.seed)
        train_network(metric, settings, batches, f"{training.sha256()} {context.order}")
        return True
    if settings.variant == ADDITIVE:
        return train_additive(metric, settings, training, device, note)
    if settings.variant == LIN:
        check_ordered(context)
        _train_lin(metric, settings, context, training, device)
    return False


def train_network(metric: Metric, settings: Settings, batches: Batches, data: str) -> None:
    """Train a metric's network and scalars together, in place.

    Args:
        metric: with a `ScalarHead`.
        settings: of the training.
        batches: the batch of each step.
        data: identifies the data of the batches, as in `train_end_to_end`.
    """
    log = open_logger(settings.logger, settings.logs)
    train_end_to_end(metric, batches, settings, data=data, log=log)
    before = metric.backbone.weights
    metric.backbone.weights = WeightsInfo(
        source=f"{before.source}, then {settings.variant}",
        sha256=state_sha256(metric.backbone.network),
        licence=before.licence,
    )


def train_additive(
    metric: Metric,
    settings: Settings,
    training: Images,
    device: torch.device,
    note: Note = lambda _: None,
) -> bool:
    """Train a metric's head of size and presence, in place; see `train_variant`.

    A new head is trained from scratch. A trained one is adapted to images of the user's own, and
    stays as it is without any. With custom distortions it keeps its amounts, and only learns new
    ones.
    """
    assert isinstance(metric, ChangeMetric)
    metric.to(device)
    adapts = settings.from_embedded and settings.data != SAMPLE and not settings.custom
    if adapts or not settings.from_embedded:
        fit_presence(
            metric,
            training.images,
            pairs=settings.bank_pairs,
            seed=settings.seed,
            adapt=adapts,
            epochs=settings.epochs or EPOCHS,
            folder=settings.bank,
            renew=settings.renew_bank,
            note=note,
        )
    if settings.custom:
        metric.head = _extended(metric, settings, training, device)
    return adapts or not settings.from_embedded


def _extended(
    metric: ChangeMetric, settings: Settings, training: Images, device: torch.device
) -> ExtendedHead:
    assert isinstance(metric.head, PresenceHead)
    ordinary = torch.cat(
        [
            z_of(metric, measured_pairs(collection, metric, training.images, settings.seed))
            for collection in collections(settings.bank_pairs)
        ]
    )
    return extend(
        metric.head.cpu(),
        settings.custom,
        ordinary,
        FeatureDistances(metric, device),
        training.images,
        pairs=settings.bank_pairs,
        size=settings.size or TRAINING_SIZE,
        epochs=settings.epochs or CUSTOM_EPOCHS,
        generator=generator_for("own distortions", settings.seed),
    )


def _train_lin(
    metric: Metric, settings: Settings, context: Context, training: Images, device: torch.device
) -> None:
    assert isinstance(metric.head, ScalarHead)
    generator = generator_for(LIN, settings.seed)
    z = draw_lin_bank(
        FeatureDistances(metric, device),
        training.images,
        size=settings.size or TRAINING_SIZE,
        generator=generator,
        distortions=all_distortions(settings.custom),
    )
    (weights,) = fit_lin(
        z,
        [context],
        generator=generator,
        objective=settings.objective,
        epochs=settings.epochs or LIN_EPOCHS,
    )
    metric.head.weights.data = weights
