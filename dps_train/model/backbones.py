"""Loss networks: any torchvision model cut at named nodes, or the embedded one.

A backbone turns normalised images into a list of feature maps. Its layers are named
by node, as ``torchvision.models.feature_extraction`` names them; `dps_train.model.layer_presets`
holds the paper's and LPIPS's.
"""

from __future__ import annotations

import hashlib
import warnings
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.feature_extraction import DualGraphModule, create_feature_extractor

from dps_infer.errors import UsageError
from dps_infer.files.write import sha256_file
from dps_infer.model.manifest import WeightsInfo
from dps_train.model.embedded import embedded_backbone
from dps_train.model.layer_presets import DEFAULTS, PRESETS
from dps_train.model.weights import (
    WeightsError,
    load_strictly,
    read_weights,
    renamed,
    weights_info,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LPIPS_SHIFT = (-0.030, -0.088, -0.188)
LPIPS_SCALE = (0.458, 0.448, 0.450)
"""Of values in [-1, 1], as LPIPS states them."""

NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    # (2x - 1 - shift) / scale = (x - (1 + shift) / 2) / (scale / 2)
    "lpips": (
        tuple((1 + shift) / 2 for shift in LPIPS_SHIFT),
        tuple(scale / 2 for scale in LPIPS_SCALE),
    ),
}
"""Mean and std of values in [0, 1], by the name of who states them.

Both are the same numbers: LPIPS's are ImageNet's, said of [-1, 1].
"""

COMMON_SIDE = 224
"""Pixels. Every network of torchvision takes it, and some nothing else."""

LARGER_SIDE = 256

TORCHVISION_LICENCE = "BSD-3-Clause code, trained on ImageNet (its terms of access apply)"
"""Of weights that torchvision states no licence of their own for."""


class Backbone(nn.Module):
    """A frozen network that returns the feature maps of some of its layers.

    Args:
        name: ``embedded`` or a torchvision model.
        layers: node names; None takes those of `dps_train.model.layer_presets.DEFAULTS`.

    Raises:
        UsageError: an unknown network or node, or no layers are known for it.
    """

    def __init__(self, name: str, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.layers = tuple(layers) if layers else resolve_layers(name, None)
        self.network = _network(name, self.layers)
        self.weights = WeightsInfo(source="random", sha256="", licence="none")
        _write_nothing_in_place(self.network)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map [N, C, H', W'] per layer for normalised images [N, 3, H, W].

        Raises:
            UsageError: the network takes no images of this size; says which it takes.
        """
        try:
            maps = self.network(images)
        except (RuntimeError, AssertionError):
            self.check_size(*images.shape[2:])
            raise
        return [maps[layer] for layer in self.layers]

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: a frozen network's BatchNorm statistics must not drift."""
        return super().train(False)

    def unfreeze(self, *, batch_norm: bool) -> None:
        """Let the weights learn, until `freeze`.

        Args:
            batch_norm: whether BatchNorm takes statistics from its batches, and learns them.
        """
        self.requires_grad_(True)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(batch_norm)

    def freeze(self) -> None:
        """Be as before `unfreeze`: no weight learns, and statistics stay what they are."""
        self.requires_grad_(False)
        self.eval()

    def shapes(self, height: int, width: int) -> list[torch.Size] | None:
        """Return the maps' shapes for one image; None for a size that the network cannot take.

        Nothing is computed, and no memory taken.
        """
        state = {key: value.to("meta") for key, value in self.network.state_dict().items()}
        image = torch.empty(1, 3, height, width, device="meta")
        try:
            maps = functional_call(self.network, state, (image,))
        except (RuntimeError, AssertionError):
            return None
        # What is no tensor, but several, has no shape.
        return [getattr(maps[layer], "shape", torch.Size()) for layer in self.layers]

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size of image that the network cannot take; says which it takes.

        Raises:
            UsageError: it cannot.
        """
        if self.shapes(height, width) is not None:
            return
        sides = range(1, COMMON_SIDE)
        index = bisect_left(sides, True, key=lambda side: self.shapes(side, side) is not None)
        smallest = index + 1
        raise UsageError(
            f"{self.name} cut at {', '.join(self.layers)} takes no images of {width} x {height} "
            f"pixels, it needs {smallest} x {smallest}: ask for another --size or other --layers"
        )


def load_backbone(
    name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None
) -> Backbone:
    """Build a backbone with trained weights.

    Args:
        name: ``embedded`` or a torchvision model.
        layers: node names; None takes those of `dps_train.model.layer_presets.DEFAULTS`.
        weights: a safetensors file with torchvision's parameter names, of the whole network
            or of its features, whose metadata may state their `source` and `licence`; None
            takes torchvision's own weights, downloaded on first use.

    Raises:
        UsageError: an unknown network or node.
        WeightsError: the file does not fit, or nothing could be downloaded.
    """
    backbone = Backbone(name, layers)
    _check_maps(backbone)
    if weights is not None:
        load_strictly(
            backbone.network,
            renamed(read_weights(weights)),
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
            licence=embedded_backbone.LICENCE,
        )
    else:
        _download(backbone)
    return backbone


def resolve_layers(name: str, text: str | None) -> tuple[str, ...]:
    """Return the node names that ``--layers`` asks for.

    Args:
        name: ``embedded`` or a torchvision model.
        text: ``paper``, ``lpips``, or node names joined by commas; None takes the network's
            own layers or the paper's.

    Raises:
        UsageError: an unknown network, no such layers for it, or a node that is empty or
            named twice.
    """
    _check_known(name)
    if text is None:
        if name not in DEFAULTS:
            raise UsageError(f"no layers are known for {name}: name its nodes with --layers")
        return DEFAULTS[name]
    if text in PRESETS:
        preset = PRESETS[text]
        if name not in preset:
            raise UsageError(
                f"--layers {text} has none for {name}, only for {', '.join(preset)}: name nodes"
            )
        return preset[name]
    nodes = tuple(node.strip() for node in text.split(","))
    if not all(nodes) or len(set(nodes)) < len(nodes):
        raise UsageError(
            f"--layers {text!r}: expected {', '.join(PRESETS)}, or nodes joined by commas, "
            "each once"
        )
    return nodes


def state_sha256(module: nn.Module) -> str:
    """Return a hash over all parameters and buffers of a module, in safetensors' layout."""
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


def _check_maps(backbone: Backbone) -> None:
    """Refuse nodes that give no feature map: flattened ones, or channels that come last."""
    sides = (COMMON_SIDE, LARGER_SIDE)
    kinds = [shapes for side in sides if (shapes := backbone.shapes(side, side))]
    for layer, *shapes in zip(backbone.layers, *kinds, strict=True):
        # Channels that grow with the image are positions.
        if any(len(shape) != 4 or shape[1] != shapes[0][1] for shape in shapes):
            raise UsageError(
                f"{backbone.name}'s {layer} gives no feature map [N, C, H, W]: name other --layers"
            )


def _write_nothing_in_place(network: nn.Module) -> None:
    """Let no step overwrite its input, which may be the output that a layer names."""
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
        # Graphs differ where a network has parts for training only, which is never asked of it.
        return create_feature_extractor(
            model,
            return_nodes={layer: layer for layer in layers},
            suppress_diff_warning=True,
        )
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
    known = torchvision.models.list_models(module=torchvision.models)
    if name != embedded_backbone.NAME and name not in known:
        raise UsageError(
            f"unknown backbone {name!r}: expected {embedded_backbone.NAME} or a torchvision "
            "classification model such as squeezenet1_1"
        )


def _full_model_keys(name: str) -> set[str]:
    if name == embedded_backbone.NAME:
        return set()
    with torch.device("meta"):
        return set(_torchvision_model(name).state_dict())


def _download(backbone: Backbone) -> None:
    known = torchvision.models.get_model_weights(backbone.name)
    # The paper's and LPIPS's networks had the first weights; some defaults are newer.
    weights = getattr(known, "IMAGENET1K_V1", known.DEFAULT)
    try:
        state = renamed(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of {backbone.name} cannot be downloaded ({error}): fetch them on a "
            "machine with a network, save them as safetensors and pass --weights FILE"
        ) from None
    load_strictly(backbone.network, state, origin=str(weights), ignorable=state)
    backbone.weights = WeightsInfo(
        source=f"torchvision {weights}",
        sha256=state_sha256(backbone.network),
        licence=weights.meta.get("license", TORCHVISION_LICENCE),
    )
