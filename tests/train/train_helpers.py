"""Images made on the spot, a tiny trained metric, and the command line run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor

from dps_train.backbones import Backbone
from dps_train.data.dead_leaves import dead_leaves

COUNT = 6
TINY = ("--pairs", "200", "--epochs", "1")
"""A training of a second, whose metric is worth nothing."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_backbone(name: str = "embedded", layers: tuple[str, ...] | None = None) -> Backbone:
    """A network with weights that are random, but always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Backbone(name, layers)


def write_images(folder: Path, count: int = COUNT) -> Path:
    """Write dead leaves of several shapes as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = seeded(7)
    for number in range(count):
        image = dead_leaves(80, generator, leaves=80)[: 80 - 4 * number]
        assert cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    return folder


def levels(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random float RGB images [N, 3, H, W] of 256 levels, some of them flat, grey or saturated."""
    images = torch.randint(256, (count, 3, height, width), generator=seeded(seed)).float() / 255
    images[0::4, 1:] = images[0::4, :1]
    images[1::4] = images[1::4].round()
    images[2::4, :, : height // 2] = 0
    images[2::4, :, :, : width // 3] = 1
    return images


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The last line on stderr, the error's; nothing is on stdout."""
        assert self.out == ""
        line = self.err.splitlines()[-1]
        assert "error: " in line
        assert sum("error" in other for other in self.err.splitlines()) == 1
        assert "unexpected" not in line, line
        return line

    @property
    def record(self) -> dict:
        """The JSON on stdout, by the standard: no NaN, no infinity."""
        return strict_json(self.out)


def strict_json(text: str) -> dict:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)
