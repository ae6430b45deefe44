"""The embedded metric: trained once for every context, on data that every installation has.

`dps_train.pretrain` trains its weights. `dps-train` starts from it, and `dps_infer` ships it as
an ONNX file whose context is an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import safetensors

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import AMOUNTS
from dps_train.model.backbones import load_backbone
from dps_train.model.embedded import embedded_backbone
from dps_train.model.heads import PairHead
from dps_train.model.metric import Metric, Preprocess
from dps_train.model.pair_encoder import CODE, IMAGE_SIZE, PairEncoder
from dps_train.model.weights import load_strictly, read_weights

NAME = "universal"
WEIGHTS = Path(__file__).with_name("universal.safetensors")
"""Weights of the pair encoder and the head; the backbone has a separate file."""


def load_universal() -> Metric:
    """Return the embedded metric in evaluation mode, with all importances 1."""
    metric = Metric(
        Preprocess(IMAGE_SIZE),
        load_backbone(embedded_backbone.NAME),
        PairEncoder(),
        PairHead(CODE, AMOUNTS),
    )
    weights = read_weights(WEIGHTS)
    for part in ("comparison", "head"):
        load_strictly(
            getattr(metric, part),
            {
                name.removeprefix(f"{part}."): value
                for name, value in weights.items()
                if name.startswith(f"{part}.")
            },
            origin=WEIGHTS.name,
        )
    return metric.eval()


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
