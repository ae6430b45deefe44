"""Which layers of which network are compared: the paper's choice and LPIPS's, as data.

Layers are node names, as ``torchvision.models.feature_extraction`` gives them. The authors'
code counts layers instead: the children of ``features`` where a network has them, else the
network's own children; what a name stands for is the output of that child. Theirs feeds
images to those children one after another, so what a whole network does besides (GoogLeNet's
and Inception's ``transform_input`` and auxiliary classifiers) has no part in the maps.

Source: the authors' code for Pihlgren et al., *A Systematic Performance Analysis of Deep
Perceptual Loss Networks* (arXiv 2302.04032); LPIPS: Zhang et al. 2018 and their package.
"""

from __future__ import annotations

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
"""What ``--layers`` may say instead of node names."""

DEFAULTS: dict[str, tuple[str, ...]] = {embedded_backbone.NAME: embedded_backbone.LAYERS, **PAPER}
"""What is compared where nobody names layers."""
