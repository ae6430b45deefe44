"""The embedded metric: trained once for every context, on data that every installation has.

`dps_train.pretrain` trains its weights. `dps-train` starts from it, and `dps_infer` ships it as
an ONNX file whose context is an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import safetensors
from torch import Tensor, nn

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import PAPER_AMOUNTS
from dps_train.model.backbone.backbones import load_backbone
from dps_train.model.backbone.weights import load_strictly, read_weights
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.codes import PairCode
from dps_train.model.embedded import embedded_backbone
from dps_train.model.heads import PairHead
from dps_train.model.metric import Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder

NAME = "universal"
WEIGHTS = Path(__file__).with_name("universal.safetensors")
"""Weights of the pair encoder and its own head; the backbone has a separate file."""

PRESENCE = Path(__file__).with_name("presence.safetensors")
"""Weights of the head of size and presence."""


def load_universal() -> ChangeMetric:
    """Return the embedded metric in evaluation mode, with all importances 1."""
    metric = untrained_universal()
    load_strictly(presence_parts(metric), read_weights(PRESENCE), origin=PRESENCE.name)
    return metric.eval()


def untrained_universal(network: Path | None = None, weights: Path | None = None) -> ChangeMetric:
    """Return the embedded metric before its head is trained.

    Args:
        network: weights of the backbone; None takes the package's own.
        weights: weights of the pair encoder and its own head; None takes the package's own.
    """
    encoder, head = PairEncoder(), PairHead(CODE, PAPER_AMOUNTS)
    parts = nn.ModuleDict({"comparison": encoder, "head": head})
    path = WEIGHTS if weights is None else weights
    load_strictly(parts, read_weights(path), origin=path.name)
    backbone = load_backbone(embedded_backbone.NAME, weights=network)
    return ChangeMetric(Preprocess(IMAGE_SIZE), backbone, PairCode(encoder, head)).eval()


def presence_weights(metric: ChangeMetric) -> dict[str, Tensor]:
    """Return the weights of the head as `PRESENCE` stores them: matrices in half precision."""
    return {
        name: (value.half() if value.dim() > 1 else value).contiguous()
        for name, value in presence_parts(metric).state_dict().items()
    }


def presence_parts(metric: ChangeMetric) -> nn.ModuleDict:
    """Return the parts whose weights are in `PRESENCE`."""
    return nn.ModuleDict({"cells": metric.comparison.cell_head, "head": metric.head})


@dataclass(frozen=True)
class Recipe:
    """The data, number of steps and seed that the embedded metric was trained with."""

    data: DataInfo
    steps: int
    seed: int

    def metadata(self) -> dict[str, str]:
        """Return the recipe as metadata of a weight file: one entry, as several have no order."""
        return {"recipe": msgspec.json.encode(self).decode()}


def recipe() -> Recipe:
    """Return how the weights in the package were trained."""
    with safetensors.safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    return msgspec.json.decode(metadata["recipe"], type=Recipe)
