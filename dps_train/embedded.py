"""The backbone that ships with the toolkit: small, and no download.

Exchanging the embedded backbone means exchanging this file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NAME = "embedded"
LAYERS = ("stage1", "stage2", "stage3", "stage4")
LICENCE = "Apache-2.0"
SOURCE = "random, seed 0"
SEED = 0

WIDTHS = (24, 48, 96, 128)


class EmbeddedNetwork(nn.Module):
    """Four stages of 3x3 convolutions, each halving the resolution.

    The filters are random. Random filters of this kind already tell directions,
    frequencies and colours apart, which is what the head needs to measure amounts.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        widths = (3, *WIDTHS)
        for number, (narrow, wide) in enumerate(zip(widths, WIDTHS, strict=False), start=1):
            convolution = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
            bias = 0.1 * torch.randn(wide, generator=generator)
            convolution.bias = nn.Parameter(bias)
            with torch.no_grad():
                weight = torch.randn(convolution.weight.shape, generator=generator)
                # Zero-sum filters see structure rather than the mean level; one in four keeps it.
                plain = weight - weight.mean(dim=(2, 3), keepdim=True)
                weight = torch.where(
                    (torch.arange(wide) % 4 == 0)[:, None, None, None], weight, plain
                )
                convolution.weight.copy_(
                    weight / weight.flatten(1).norm(dim=1)[:, None, None, None] * 2**0.5
                )
            self.add_module(f"stage{number}", nn.Sequential(convolution, nn.ReLU()))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the four stages' maps, by name; `images` [N, 3, H, W] are normalised."""
        maps = {}
        for name, stage in self.named_children():
            images = stage(images)
            maps[name] = images
        return maps
