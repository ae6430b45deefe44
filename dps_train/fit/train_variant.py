"""Train what the variant trains for a context: nothing, the head, or the network as well."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dps_infer.contexts.context import Context
from dps_infer.model.manifest import WeightsInfo
from dps_train.bank.bank import PURPOSE, Bank, FeatureDistances, build_bank, metric_distances
from dps_train.bank.stored import stored_bank
from dps_train.contexts import check_ordered
from dps_train.custom.custom_distortion import all_distortions
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.fit.additive import EPOCHS, adapt_additive, fit_additive
from dps_train.fit.end_to_end.batches import Batches, ranking_batches
from dps_train.fit.end_to_end.loggers import open_logger
from dps_train.fit.end_to_end.train import train_end_to_end
from dps_train.fit.extend_head import extend
from dps_train.fit.lin import EPOCHS as LIN_EPOCHS
from dps_train.fit.lin import draw_lin_bank, fit_one_lin
from dps_train.fit.settings import LIN, SCRATCH, Settings
from dps_train.model.heads import AdditiveHead, ChannelHead, ScalarHead
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE
from dps_train.model.weights import state_sha256
from dps_train.seeds import generator_for

Note = Callable[[str], None]


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
        Whether the network has changed.
    """
    if settings.end_to_end:
        size = settings.size or TRAINING_SIZE
        batches = ranking_batches(training.images, context, size=size, seed=settings.seed)
        train_network(metric, settings, batches, f"{training.sha256()} {context.order}")
        return True
    if settings.variant == ADDITIVE:
        _train_additive(metric, settings, training, device, note)
    elif settings.variant == LIN:
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
    train_end_to_end(
        metric,
        batches,
        steps=settings.steps,
        objective=settings.objective,
        seed=settings.seed,
        batch_norm=settings.variant == SCRATCH,
        device=settings.device,
        devices=settings.devices,
        precision=settings.precision,
        data=data,
        checkpoint=settings.checkpoint,
        resume=settings.resume,
        log=open_logger(settings.logger, settings.logs),
    )
    before = metric.backbone.weights
    metric.backbone.weights = WeightsInfo(
        source=f"{before.source}, then {settings.variant}",
        sha256=state_sha256(metric.backbone.network),
        licence=before.licence,
    )


def teach_custom(
    metric: Metric,
    settings: Settings,
    training: Images,
    device: torch.device,
    note: Note = lambda _: None,
) -> None:
    """Extend a trained additive head by the amounts of `settings.custom`, in place.

    The other amounts stay as they were. See `train_variant` for the arguments.
    """
    distances = metric_distances(metric, device)
    bank = _bank(settings, distances, training, note)
    _extend(metric, settings, distances, bank, training)


def _train_additive(
    metric: Metric, settings: Settings, training: Images, device: torch.device, note: Note
) -> None:
    head = metric.head
    assert isinstance(head, AdditiveHead)
    distances = metric_distances(metric, device)
    bank = _bank(settings, distances, training, note)
    epochs, generator = settings.epochs or EPOCHS, generator_for("head", settings.seed)
    if isinstance(head, ChannelHead):
        fit_additive(head, bank, epochs=epochs, generator=generator)
    elif not settings.custom:
        adapt_additive(head, bank, epochs=epochs, generator=generator)
    if settings.custom:
        _extend(metric, settings, distances, bank, training)


def _train_lin(
    metric: Metric, settings: Settings, context: Context, training: Images, device: torch.device
) -> None:
    assert isinstance(metric.head, ScalarHead)
    generator = generator_for(LIN, settings.seed)
    z = draw_lin_bank(
        metric_distances(metric, device),
        training.images,
        size=settings.size or TRAINING_SIZE,
        generator=generator,
        distortions=all_distortions(settings.custom),
    )
    metric.head.weights.data = fit_one_lin(
        z,
        context,
        generator=generator,
        objective=settings.objective,
        epochs=settings.epochs or LIN_EPOCHS,
    )


def _extend(
    metric: Metric,
    settings: Settings,
    distances: FeatureDistances,
    bank: Bank,
    training: Images,
) -> None:
    assert isinstance(metric.head, AdditiveHead)
    metric.head = extend(
        metric.head.cpu(),
        settings.custom,
        bank,
        distances,
        training.images,
        pairs=settings.bank_pairs,
        size=settings.size or TRAINING_SIZE,
        epochs=settings.epochs or EPOCHS,
        generator=generator_for("own distortions", settings.seed),
    )


def _bank(settings: Settings, distances: FeatureDistances, training: Images, note: Note) -> Bank:
    """Build the distance bank, or read it from the folder that stores it."""
    size, pairs = settings.size or TRAINING_SIZE, settings.bank_pairs
    if settings.bank is None:
        generator = generator_for(PURPOSE, settings.seed)
        return build_bank(distances, training.images, pairs=pairs, size=size, generator=generator)
    return stored_bank(
        settings.bank,
        distances,
        training,
        pairs=pairs,
        size=size,
        seed=settings.seed,
        force=settings.renew_bank,
        note=note,
    )
