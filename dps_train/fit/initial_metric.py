"""The metric that a training begins with."""

from __future__ import annotations

import torch

from dps_train.data.crops import TRAINING_SIZE
from dps_train.fit.settings import SCRATCH, Settings
from dps_train.model.backbone.backbones import NORMALIZATIONS, Backbone, load_backbone
from dps_train.model.backbone.layer_presets import resolve_layers
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.codes import ChannelCode
from dps_train.model.comparisons import Comparison
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.names import ADDITIVE
from dps_train.seeds import generator_for


def initial_metric(settings: Settings) -> Metric:
    """Return the metric that a training begins with: the embedded one, or an unadapted one.

    Raises:
        UsageError: the network or a layer is unknown, or cannot take the working size.
        WeightsError: the weights are missing, or do not fit.
    """
    if settings.from_embedded:
        return load_universal()
    size = settings.size or TRAINING_SIZE
    backbone = _backbone(settings)
    backbone.check_size(size, size)
    comparison = Comparison(settings.metric_comparison, channel_norm=settings.channel_norm)
    preprocess = Preprocess(settings.size, *NORMALIZATIONS[settings.normalize])
    channels = _channels(backbone, comparison, size)
    if settings.variant == ADDITIVE:
        return ChangeMetric(preprocess, backbone, ChannelCode(comparison, channels)).eval()
    return Metric(preprocess, backbone, comparison, ScalarHead(channels)).eval()


def _backbone(settings: Settings) -> Backbone:
    name = settings.backbone
    layers = None if settings.layers is None else resolve_layers(name, settings.layers)
    if settings.variant != SCRATCH:
        return load_backbone(name, layers=layers, weights=settings.weights)
    generator = generator_for("random network", settings.seed)
    # Modules draw their initial weights from the global generator: fork and seed it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        return Backbone(name, layers)


@torch.no_grad()
def _channels(backbone: Backbone, comparison: Comparison, size: int) -> int:
    """Return the number of channel distances."""
    maps = comparison.normalized(backbone(torch.zeros(1, 3, size, size)))
    return comparison(maps, maps).shape[1]
