"""The backbone that ships with the toolkit: small, and without a download.

`dps_train.pretrain` trains its weights. To replace the backbone, replace this file and them.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn

from dps_train.model.names import EMBEDDED

NAME = EMBEDDED
LAYERS = ("stage1", "stage2", "stage3", "stage4")
LICENSE = "Apache-2.0"
SOURCE = "dps_train.pretrain"
WEIGHTS = Path(__file__).with_name("embedded.safetensors")

WIDTHS = (16, 32, 64, 96)
CONVOLUTIONS = (1, 1, 2, 2)
"""Per stage; the first halves the resolution. Early stages are the most expensive and have one."""


class EmbeddedNetwork(nn.Module):
    """Four stages of 3x3 convolutions, each halving the resolution.

    Batch normalization makes training faster; afterwards it is folded into the convolutions.
    """

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        narrow = 3
        for name, wide, convolutions in zip(LAYERS, WIDTHS, CONVOLUTIONS, strict=True):
            blocks = [block(narrow, wide, stride=2, batch_norm=batch_norm)]
            blocks += [block(wide, wide, batch_norm=batch_norm) for _ in range(convolutions - 1)]
            stages[name] = nn.Sequential(*blocks)
            narrow = wide
        self.stages = nn.ModuleDict(stages)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of the four stages by name, for normalized images [N, 3, H, W]."""
        maps = {}
        for name, stage in self.stages.items():
            images = stage(images)
            maps[name] = images
        return maps


def block(
    narrow: int, wide: int, *, kernel: int = 3, stride: int = 1, batch_norm: bool = False
) -> nn.Sequential:
    """Return a convolution that keeps the size (apart from the stride), and a ReLU."""
    convolution = nn.Conv2d(
        narrow, wide, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm
    )
    if batch_norm:
        return nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.ReLU())
    return nn.Sequential(convolution, nn.ReLU())
