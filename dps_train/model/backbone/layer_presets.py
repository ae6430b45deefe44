"""Layers that are compared: the choices of the paper and of LPIPS, as data.

Layers are node names of ``torchvision.models.feature_extraction``. The authors' code counts
layers instead: the children of ``features`` if a network has them, else the network's own
children; a name here stands for the output of that child. Their code runs only those children,
one after another, so other parts of a network (``transform_input`` and the auxiliary
classifiers of GoogLeNet and Inception) do not affect the maps.

Source: the authors' code for Pihlgren et al., *A Systematic Performance Analysis of Deep
Perceptual Loss Networks* (arXiv 2302.04032); LPIPS: Zhang et al. 2018 and their package.
"""

from __future__ import annotations

import torchvision

from dps_infer.errors import UsageError
from dps_train.model.embedded import embedded_backbone

_RESNET = ("relu", "layer1", "layer2", "layer4")
_EFFICIENTNET = ("features.0", "features.1", "features.4", "features.7")

PAPER: dict[str, tuple[str, ...]] = {
    "alexnet": ("features.1", "features.4", "features.7", "features.11"),
    "squeezenet1_1": ("features.1", "features.3", "features.7", "features.12"),
    "vgg11": ("features.1", "features.4", "features.9", "features.19"),
    "vgg16": ("features.3", "features.8", "features.15", "features.29"),
    "vgg16_bn": ("features.5", "features.12", "features.22", "features.42"),
    "vgg19": ("features.3", "features.8", "features.17", "features.35"),
    # Children 2, 4, 6, 10 of `features`.
    "densenet121": (
        "features.relu0",
        "features.denseblock1",
        "features.denseblock2",
        "features.denseblock4",
    ),
    # Children 2, 4, 5, 7 of the network.
    "resnet18": _RESNET,
    "resnet50": _RESNET,
    "resnext50_32x4d": _RESNET,
    # Children 0, 5, 8, 15 of the network, which count its poolings.
    "googlenet": ("conv1", "inception3a", "inception4a", "inception5b"),
    # Children 2, 7, 9, 14 of the network, which count its poolings.
    "inception_v3": ("Conv2d_2b_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6e"),
    "efficientnet_b0": _EFFICIENTNET,
    "efficientnet_b7": _EFFICIENTNET,
}

LPIPS: dict[str, tuple[str, ...]] = {
    "alexnet": tuple(f"features.{number}" for number in (1, 4, 7, 9, 11)),
    "squeezenet1_1": tuple(f"features.{number}" for number in (1, 4, 7, 9, 10, 11, 12)),
    "vgg16": tuple(f"features.{number}" for number in (3, 8, 15, 22, 29)),
}

PRESETS: dict[str, dict[str, tuple[str, ...]]] = {"paper": PAPER, "lpips": LPIPS}
"""Values of ``--layers`` other than node names."""

DEFAULTS: dict[str, tuple[str, ...]] = {embedded_backbone.NAME: embedded_backbone.LAYERS, **PAPER}
"""Layers if none are named."""


def resolve_layers(name: str, text: str | None) -> tuple[str, ...]:
    """Return the node names of ``--layers``.

    Args:
        name: ``embedded`` or a torchvision model.
        text: ``paper``, ``lpips``, or node names joined by commas; by default `DEFAULTS`.

    Raises:
        UsageError: the network is unknown or has no such layers, or a node is empty or named
            twice.
    """
    check_known(name)
    if text is None:
        if name not in DEFAULTS:
            raise UsageError(f"{name} has no default layers: name its nodes with --layers")
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


def check_known(name: str) -> None:
    """Refuse a backbone that is neither `embedded` nor a classification model of torchvision."""
    # Without the argument, the list has models for detection and segmentation as well.
    known = torchvision.models.list_models(module=torchvision.models)
    if name != embedded_backbone.NAME and name not in known:
        raise UsageError(
            f"unknown backbone {name!r}: expected {embedded_backbone.NAME} or a torchvision "
            "classification model such as squeezenet1_1"
        )
