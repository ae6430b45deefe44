"""The original LPIPS as a metric of this toolkit: its layers, normalization and linear weights.

Source: Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric*, CVPR 2018; the linear weights are the files ``weights/v0.1/*.pth`` of their package
(BSD-2-Clause).
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from dps_infer.errors import UsageError
from dps_train.model.backbone.backbones import NORMALIZATIONS, load_backbone
from dps_train.model.backbone.layer_presets import LPIPS
from dps_train.model.backbone.weights import WeightsError
from dps_train.model.comparisons import Comparison
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""Torchvision's names of LPIPS's networks."""

PROBE_SIDE = 64


def lpips_metric(net: str, *, trunk_weights: Path | None, linear_weights: Path) -> Metric:
    """Return LPIPS v0.1 at the images' own size, in evaluation mode.

    Args:
        net: one of `NETWORKS`.
        trunk_weights: see `dps_train.model.backbone.backbones.load_backbone`.
        linear_weights: LPIPS's file for this network, such as ``alex.pth``.

    Raises:
        UsageError: the network is unknown.
        WeightsError: a file cannot be read or does not fit.
    """
    if net not in NETWORKS:
        raise UsageError(f"unknown LPIPS network {net!r}: expected {', '.join(NETWORKS)}")
    name = NETWORKS[net]
    backbone = load_backbone(name, layers=LPIPS[name], weights=trunk_weights)
    channels = [shape[1] for shape in backbone.shapes(PROBE_SIDE, PROBE_SIDE) or []]
    head = ScalarHead(sum(channels))
    with torch.no_grad():
        head.weights.copy_(read_linear_weights(linear_weights, channels))
    preprocess = Preprocess(None, *NORMALIZATIONS["lpips"])
    return Metric(preprocess, backbone, Comparison("spatial"), head).eval()


def read_linear_weights(path: Path, channels: list[int]) -> Tensor:
    """Read LPIPS's linear weights, concatenated over the layers: [sum of `channels`], >= 0.

    The file is a pickle; only its tensors are read.

    Args:
        path: LPIPS's file.
        channels: number of channels of each layer.

    Raises:
        WeightsError: the file cannot be read, or its weights do not fit the layers.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} is not a file: expected LPIPS's linear weights, such as alex.pth"
        )
    try:
        with warnings.catch_warnings():
            # torch warns about pickles that it did not write.
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError):
        raise WeightsError(
            f"{path} cannot be read as tensors: expected LPIPS's linear weights, such as alex.pth"
        ) from None
    expected = {
        f"lin{number}.model.1.weight": (1, count, 1, 1) for number, count in enumerate(channels)
    }
    found = {}
    if isinstance(state, dict):
        found = {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}
    if found != expected:
        raise WeightsError(
            f"{path} does not fit: expected {', '.join(expected)} for {channels} channels, "
            f"got {', '.join(f'{key} {list(shape)}' for key, shape in found.items()) or 'none'}"
        )
    weights = torch.cat([state[key].flatten() for key in expected])
    if not bool((weights >= 0).all()):
        raise WeightsError(f"{path} holds numbers that are not weights >= 0: download it again")
    return weights
