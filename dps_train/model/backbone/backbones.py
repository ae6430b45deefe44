"""Loss networks: any torchvision model cut at named nodes, or the embedded one.

A backbone turns normalized images into a list of feature maps. Layers have the names of
``torchvision.models.feature_extraction``; `layer_presets` lists those of the paper and of LPIPS.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.feature_extraction import DualGraphModule, create_feature_extractor

from dps_infer.errors import UsageError
from dps_infer.files.write import sha256_file
from dps_infer.model.manifest import WeightsInfo
from dps_train.model.backbone.layer_presets import check_known, resolve_layers
from dps_train.model.backbone.weights import (
    WeightsError,
    load_strictly,
    read_weights,
    state_sha256,
    weights_info,
    with_current_names,
)
from dps_train.model.embedded import embedded_backbone

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LPIPS_SHIFT = (-0.030, -0.088, -0.188)
LPIPS_SCALE = (0.458, 0.448, 0.450)
"""For values in [-1, 1], as LPIPS states them."""

NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    # (2x - 1 - shift) / scale = (x - (1 + shift) / 2) / (scale / 2)
    "lpips": (
        tuple((1 + shift) / 2 for shift in LPIPS_SHIFT),
        tuple(scale / 2 for scale in LPIPS_SCALE),
    ),
}
"""Mean and std of values in [0, 1]. Both are the same numbers: LPIPS states those of ImageNet for
[-1, 1]."""

COMMON_SIDE = 224
"""Pixels. Every network of torchvision accepts it; some accept no other."""

LARGER_SIDE = 256

TORCHVISION_LICENSE = "BSD-3-Clause code, trained on ImageNet (its terms of access apply)"
"""License of weights for which torchvision states none."""


class Backbone(nn.Module):
    """A frozen network, ``embedded`` or of torchvision, that returns feature maps of some layers.

    Raises:
        UsageError: the network or a node is unknown, or the network has no default layers.
    """

    def __init__(self, name: str, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.layers = tuple(layers) if layers else resolve_layers(name, None)
        self.network = _network(name, self.layers)
        self.weights = WeightsInfo(source="random", sha256="", licence="none")
        _disable_in_place(self.network)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map [N, C, H', W'] per layer for normalized images [N, 3, H, W]."""
        try:
            maps = self.network(images)
        except (RuntimeError, AssertionError):
            self.check_size(*images.shape[2:])
            raise
        return [maps[layer] for layer in self.layers]

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: BatchNorm statistics of a frozen network must not drift."""
        return super().train(False)

    def unfreeze(self, *, batch_norm: bool) -> None:
        """Make the weights trainable, with `batch_norm` also the statistics of BatchNorm."""
        self.requires_grad_(True)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(batch_norm)

    def freeze(self) -> None:
        """Undo `unfreeze`: neither weights nor statistics change."""
        self.requires_grad_(False)
        self.eval()

    def shapes(self, height: int, width: int) -> list[torch.Size] | None:
        """Return the maps' shapes for one image; None for a size that the network does not accept.

        Nothing is computed: the tensors are on the meta device.
        """
        state = {key: value.to("meta") for key, value in self.network.state_dict().items()}
        image = torch.empty(1, 3, height, width, device="meta")
        try:
            maps = functional_call(self.network, state, (image,))
        except (RuntimeError, AssertionError):
            return None
        # A node that returns several tensors has no single shape.
        return [getattr(maps[layer], "shape", torch.Size()) for layer in self.layers]

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the network does not accept; the UsageError names the smallest."""
        if self.shapes(height, width) is not None:
            return
        sides = range(1, COMMON_SIDE)
        index = bisect_left(sides, True, key=lambda side: self.shapes(side, side) is not None)
        smallest = index + 1
        raise UsageError(
            f"{self.name} cut at {', '.join(self.layers)} does not accept images of "
            f"{width} x {height} pixels, it needs {smallest} x {smallest}: choose another --size "
            "or other --layers"
        )


def load_backbone(
    name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None
) -> Backbone:
    """Build a backbone with trained weights.

    Args:
        name: ``embedded`` or a torchvision model.
        layers: node names; by default those of `dps_train.model.backbone.layer_presets.DEFAULTS`.
        weights: a safetensors file with torchvision's parameter names, of the whole network
            or of its features, whose metadata may state `source` and `licence`; by default
            torchvision's weights, downloaded on first use.

    Raises:
        UsageError: the network or a node is unknown.
        WeightsError: the file does not fit, or the download failed.
    """
    backbone = Backbone(name, layers)
    _check_maps(backbone)
    if weights is not None:
        load_strictly(
            backbone.network,
            with_current_names(read_weights(weights)),
            origin=str(weights),
            ignorable=_full_model_keys(name),
        )
        backbone.weights = weights_info(weights)
    elif name == embedded_backbone.NAME:
        load_strictly(
            backbone.network,
            read_weights(embedded_backbone.WEIGHTS),
            origin=embedded_backbone.WEIGHTS.name,
        )
        backbone.weights = WeightsInfo(
            source=embedded_backbone.SOURCE,
            sha256=sha256_file(embedded_backbone.WEIGHTS),
            licence=embedded_backbone.LICENSE,
        )
    else:
        _download(backbone)
    return backbone


def _check_maps(backbone: Backbone) -> None:
    """Refuse nodes that do not return feature maps: flattened ones, or with channels last."""
    sides = (COMMON_SIDE, LARGER_SIDE)
    kinds = [shapes for side in sides if (shapes := backbone.shapes(side, side))]
    for layer, *shapes in zip(backbone.layers, *kinds, strict=True):
        # Channels whose number grows with the image are positions.
        if any(len(shape) != 4 or shape[1] != shapes[0][1] for shape in shapes):
            raise UsageError(
                f"{backbone.name}'s {layer} gives no feature map [N, C, H, W]: name other --layers"
            )


def _disable_in_place(network: nn.Module) -> None:
    """Make no operation overwrite its input, which may be the output of a chosen layer."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    if isinstance(network, DualGraphModule):
        for graph in (network.train_graph, network.eval_graph):
            for node in graph.nodes:
                if node.kwargs.get("inplace"):
                    node.update_kwarg("inplace", False)
        network.recompile()


def _network(name: str, layers: Sequence[str]) -> nn.Module:
    if name == embedded_backbone.NAME:
        network = embedded_backbone.EmbeddedNetwork()
        known = list(network.stages)
        for layer in layers:
            if layer not in known:
                raise UsageError(
                    f"{name} has no layer {layer!r}: expected one of {', '.join(known)}"
                )
        return network
    model = _torchvision_model(name)
    try:
        # Some networks have parts for training only; they are never run, so the warning about
        # different graphs is noise.
        return create_feature_extractor(
            model,
            return_nodes={layer: layer for layer in layers},
            suppress_diff_warning=True,
        )
    except ValueError as error:
        raise UsageError(f"{name} cannot be cut at {', '.join(layers)}: {error}") from None


def _torchvision_model(name: str) -> nn.Module:
    check_known(name)
    with warnings.catch_warnings():
        # googlenet and inception warn that initialization is slow; it is replaced anyway.
        warnings.simplefilter("ignore", FutureWarning)
        return torchvision.models.get_model(name, weights=None)


def _full_model_keys(name: str) -> set[str]:
    if name == embedded_backbone.NAME:
        return set()
    with torch.device("meta"):
        return set(_torchvision_model(name).state_dict())


def _download(backbone: Backbone) -> None:
    known = torchvision.models.get_model_weights(backbone.name)
    # The paper and LPIPS used the first weights; some defaults are newer.
    weights = getattr(known, "IMAGENET1K_V1", known.DEFAULT)
    try:
        state = with_current_names(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of {backbone.name} cannot be downloaded ({error}): fetch them on a "
            "machine with a network, save them as safetensors and pass --weights FILE"
        ) from None
    load_strictly(backbone.network, state, origin=str(weights), ignorable=state)
    backbone.weights = WeightsInfo(
        source=f"torchvision {weights}",
        sha256=state_sha256(backbone.network),
        licence=weights.meta.get("license", TORCHVISION_LICENSE),
    )
