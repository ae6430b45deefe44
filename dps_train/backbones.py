"""Loss networks: any torchvision model cut at named nodes, or the embedded one.

A backbone turns normalised images into a list of feature maps. Its layers are named
by node, as ``torchvision.models.feature_extraction`` names them, and are data:
`PRESETS` holds those of the paper.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from dps_infer.errors import UsageError
from dps_infer.files import sha256_file
from dps_infer.manifest import WeightsInfo
from dps_train import embedded
from dps_train.weights import WeightsError, load_strictly, read_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PRESETS: dict[str, tuple[str, ...]] = {
    embedded.NAME: embedded.LAYERS,
    "alexnet": ("features.1", "features.4", "features.7", "features.11"),
    "squeezenet1_1": ("features.1", "features.3", "features.7", "features.12"),
    "vgg11": ("features.1", "features.4", "features.9", "features.19"),
    "vgg16": ("features.3", "features.8", "features.15", "features.29"),
    "vgg16_bn": ("features.5", "features.12", "features.22", "features.42"),
    "vgg19": ("features.3", "features.8", "features.17", "features.35"),
    "resnet18": ("relu", "layer1", "layer2", "layer4"),
    "resnet50": ("relu", "layer1", "layer2", "layer4"),
    "resnext50_32x4d": ("relu", "layer1", "layer2", "layer4"),
}
"""Layers per network: the paper's, as node names."""


PROBE_SIZE = 96
"""Pixels; networks for large images refuse 64."""


class Backbone(nn.Module):
    """A frozen network that returns the feature maps of some of its layers.

    Args:
        name: ``embedded`` or a torchvision model.
        layers: node names; None takes the preset.

    Raises:
        UsageError: an unknown network or node, or no preset for it.
    """

    def __init__(self, name: str, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.layers = tuple(layers) if layers else _preset(name)
        self.network = _network(name, self.layers)
        self.weights = WeightsInfo(source="random", sha256="", licence="none")
        for module in self.network.modules():
            if isinstance(module, nn.ReLU | nn.ReLU6 | nn.SiLU | nn.Hardswish):
                # In place, it would overwrite the convolution output that a layer may name.
                module.inplace = False
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map [N, C, H', W'] per layer for normalised images [N, 3, H, W]."""
        maps = self.network(images)
        return [maps[layer] for layer in self.layers]

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: a frozen network's BatchNorm statistics must not drift."""
        return super().train(False)


def load_backbone(
    name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None
) -> Backbone:
    """Build a backbone with trained weights.

    Args:
        name: ``embedded`` or a torchvision model.
        layers: node names; None takes the preset.
        weights: a safetensors file with torchvision's parameter names; None takes
            torchvision's own weights, downloaded on first use.

    Raises:
        UsageError: an unknown network or node.
        WeightsError: the file does not fit, or nothing could be downloaded.
    """
    backbone = Backbone(name, layers)
    _check_maps(backbone)
    if weights is not None:
        load_strictly(
            backbone.network,
            read_weights(weights),
            origin=str(weights),
            ignorable=_full_model_keys(name),
        )
        backbone.weights = WeightsInfo(
            source=weights.name, sha256=sha256_file(weights), licence="unknown: see its source"
        )
    elif name == embedded.NAME:
        load_strictly(
            backbone.network, read_weights(embedded.WEIGHTS), origin=embedded.WEIGHTS.name
        )
        backbone.weights = WeightsInfo(
            source=embedded.SOURCE,
            sha256=sha256_file(embedded.WEIGHTS),
            licence=embedded.LICENCE,
        )
    else:
        _download(backbone)
    return backbone


def _check_maps(backbone: Backbone) -> None:
    """Refuse nodes that give no feature map, such as a flattened one."""
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE))
    for layer, value in zip(backbone.layers, maps, strict=True):
        if not isinstance(value, Tensor) or value.dim() != 4:
            raise UsageError(
                f"{backbone.name}'s {layer} gives no feature map [N, C, H, W]: name other --layers"
            )


def state_sha256(module: nn.Module) -> str:
    """Return a hash over all parameters and buffers of a module, in safetensors' layout."""
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


def _preset(name: str) -> tuple[str, ...]:
    if name in PRESETS:
        return PRESETS[name]
    _check_known(name)
    raise UsageError(f"no layers are known for {name}: name its nodes with --layers")


def _network(name: str, layers: Sequence[str]) -> nn.Module:
    if name == embedded.NAME:
        network = embedded.EmbeddedNetwork()
        known = list(network.stages)
        for layer in layers:
            if layer not in known:
                raise UsageError(
                    f"{name} has no layer {layer!r}: expected one of {', '.join(known)}"
                )
        return network
    model = _torchvision_model(name)
    try:
        return create_feature_extractor(model, return_nodes={layer: layer for layer in layers})
    except ValueError as error:
        raise UsageError(f"{name} cannot be cut at {', '.join(layers)}: {error}") from None


def _torchvision_model(name: str) -> nn.Module:
    _check_known(name)
    with warnings.catch_warnings():
        # googlenet and inception warn that initialising takes long; the weights come anyway.
        warnings.simplefilter("ignore", FutureWarning)
        return torchvision.models.get_model(name, weights=None)


def _check_known(name: str) -> None:
    # Without the module, models for detection and segmentation count as well.
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise UsageError(
            f"unknown backbone {name!r}: expected {embedded.NAME} or a torchvision "
            "classification model such as squeezenet1_1"
        )


def _full_model_keys(name: str) -> set[str]:
    if name == embedded.NAME:
        return set()
    return set(_torchvision_model(name).state_dict())


def _download(backbone: Backbone) -> None:
    weights = torchvision.models.get_model_weights(backbone.name).DEFAULT
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of {backbone.name} cannot be downloaded ({error}): fetch them on a "
            "machine with a network, save them as safetensors and pass --weights FILE"
        ) from None
    load_strictly(backbone.network, state, origin=str(weights), ignorable=state)
    backbone.weights = WeightsInfo(
        source=f"torchvision {weights}",
        sha256=state_sha256(backbone.network),
        licence="BSD-3-Clause code, trained on ImageNet (its terms of access apply)",
    )
