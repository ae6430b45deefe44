"""The metric that a training starts from."""

from __future__ import annotations

import torch

from dps_train.contexts import AMOUNTS
from dps_train.data.crops import TRAINING_SIZE
from dps_train.fit.settings import COMPARISON, COMPARISONS, FROM_EMBEDDED, SCRATCH, Settings
from dps_train.model.backbones import NORMALIZATIONS, Backbone, load_backbone
from dps_train.model.comparisons import Comparison
from dps_train.model.description import ADDITIVE
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.heads import ChannelHead, Head, ScalarHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.seeds import generator_for


def starting_metric(settings: Settings) -> Metric:
    """Return the metric that `settings` start from, unadapted but for the embedded one.

    Raises:
        UsageError: an unknown network or node, or one that cannot take the working size.
        WeightsError: the weights cannot be had, or do not fit.
    """
    if settings.variant == ADDITIVE and settings.start == FROM_EMBEDDED:
        return load_universal()
    size = settings.size or TRAINING_SIZE
    backbone = _backbone(settings)
    backbone.check_size(size, size)
    name = settings.comparison or COMPARISONS.get(settings.variant, COMPARISON)
    comparison = Comparison(name, channel_norm=settings.channel_norm)
    preprocess = Preprocess(settings.size, *NORMALIZATIONS[settings.normalize])
    channels = _channels(backbone, comparison, size)
    head: Head = ScalarHead(channels)
    if settings.variant == ADDITIVE:
        head = ChannelHead(channels, AMOUNTS)
    return Metric(preprocess, backbone, comparison, head).eval()


def _backbone(settings: Settings) -> Backbone:
    if settings.variant != SCRATCH:
        return load_backbone(settings.backbone, layers=settings.layers, weights=settings.weights)
    generator = generator_for("random network", settings.seed)
    # Layers draw their weights from the global state when they are made: fork and seed it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        return Backbone(settings.backbone, settings.layers)


@torch.no_grad()
def _channels(backbone: Backbone, comparison: Comparison, size: int) -> int:
    """Return how many channel distances there are."""
    maps = comparison.normalized(backbone(torch.zeros(1, 3, size, size)))
    return comparison(maps, maps).shape[1]
