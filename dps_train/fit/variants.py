"""What each variant trains, for a context: nothing, its head, or its network as well."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dps_infer.contexts.context import Context
from dps_infer.model.manifest import WeightsInfo
from dps_train.bank.bank import PURPOSE, Bank, FeatureDistances, build_bank
from dps_train.bank.stored import stored_bank
from dps_train.contexts import check_ordered
from dps_train.custom.custom_distortion import all_distortions
from dps_train.data.crops import TRAINING_SIZE
from dps_train.data.sources import Images
from dps_train.fit.additive import EPOCHS, adapt_additive, fit_additive
from dps_train.fit.end_to_end.loggers import open_logger
from dps_train.fit.end_to_end.train import train_end_to_end
from dps_train.fit.extend_head import extend
from dps_train.fit.lin import EPOCHS as LIN_EPOCHS
from dps_train.fit.lin import draw_lin_bank, fit_one_lin
from dps_train.fit.settings import BASELINE, END_TO_END, LIN, SCRATCH, Settings
from dps_train.fit.triplet_batches import Batches, ranking_batches
from dps_train.model.description import ADDITIVE
from dps_train.model.heads import AdditiveHead, ChannelHead, ScalarHead
from dps_train.model.metric import Metric
from dps_train.model.weights import state_sha256
from dps_train.seeds import generator_for


def fit_variant(
    metric: Metric,
    settings: Settings,
    context: Context,
    training: Images,
    device: torch.device,
    note: Callable[[str], None],
) -> bool:
    """Train what the variant trains, in place.

    Args:
        metric: from `dps_train.fit.initial_metric`.
        settings: what to train.
        context: what counts as disruptive.
        training: images; of recorded distortions, `settings.own` has the scenes to train on.
        device: where the network runs.
        note: is told in one line what became of a stored bank.

    Returns:
        Whether the network's features are others now.
    """
    size = settings.size or TRAINING_SIZE
    head = metric.head
    if settings.variant in END_TO_END:
        batches = ranking_batches(training.images, context, size=size, seed=settings.seed)
        described = f"{training.sha256()} {context.order}"
        fit_end_to_end(metric, settings, batches, described)
        return True
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)
    if settings.variant == ADDITIVE:
        assert isinstance(head, AdditiveHead)
        bank = _bank(settings, distances, training, size, note)
        epochs, generator = settings.epochs or EPOCHS, generator_for("head", settings.seed)
        if isinstance(head, ChannelHead):
            fit_additive(head, bank, epochs=epochs, generator=generator)
        elif not settings.own:
            adapt_additive(head, bank, epochs=epochs, generator=generator)
        if settings.own:
            _teach(metric, head, settings, distances, bank, training)
    elif settings.variant == LIN:
        assert isinstance(head, ScalarHead)
        check_ordered(context)
        generator = generator_for(LIN, settings.seed)
        z = draw_lin_bank(
            distances,
            training.images,
            size=size,
            generator=generator,
            distortions=all_distortions(settings.own),
        )
        head.weights.data = fit_one_lin(
            z,
            context,
            generator=generator,
            objective=settings.objective,
            epochs=settings.epochs or LIN_EPOCHS,
        )
    else:
        assert settings.variant == BASELINE
    return False


def teach_own(
    metric: Metric,
    settings: Settings,
    training: Images,
    device: torch.device,
    note: Callable[[str], None],
) -> None:
    """Give a trained metric with an additive head the amounts of `settings.own`, in place.

    What it read before stays as it was. See `fit_variant` for the arguments.
    """
    assert isinstance(metric.head, AdditiveHead)
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)
    bank = _bank(settings, distances, training, settings.size or TRAINING_SIZE, note)
    _teach(metric, metric.head, settings, distances, bank, training)


def _teach(
    metric: Metric,
    head: AdditiveHead,
    settings: Settings,
    distances: FeatureDistances,
    bank: Bank,
    training: Images,
) -> None:
    metric.head = extend(
        head.cpu(),
        settings.own,
        bank,
        distances,
        training.images,
        pairs=settings.pairs,
        size=settings.size or TRAINING_SIZE,
        epochs=settings.epochs or EPOCHS,
        generator=generator_for("own distortions", settings.seed),
    )


def fit_end_to_end(metric: Metric, settings: Settings, batches: Batches, described: str) -> None:
    """Train network and scalars together.

    Args:
        metric: with a `ScalarHead`.
        settings: how.
        batches: of each step.
        described: what the batches are drawn from: a checkpoint of others is refused.
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
        data=described,
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
