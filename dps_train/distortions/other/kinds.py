"""The tables of other changes: those that training uses, and those kept for evaluation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dps_train.distortions.other.filters import erode, jpeg, median, pixelate, sharpen
from dps_train.distortions.other.geometry import (
    elastic,
    glass,
    lens,
    motion,
    perspective,
    stretch,
    wave,
)
from dps_train.distortions.other.noise import blocks, grain, noise, salt, stripes
from dps_train.distortions.other.occlusions import ghost, occlude, overlay, paste
from dps_train.distortions.other.tones import (
    brighten,
    contrast,
    desaturate,
    gamma,
    harden,
    haze,
    patch,
    posterize,
    saturate,
    tint,
    vignette,
)

Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]

TRAINED: dict[str, Change] = {
    change.__name__: change
    for change in (
        noise,
        grain,
        salt,
        stripes,
        contrast,
        harden,
        brighten,
        haze,
        desaturate,
        saturate,
        gamma,
        blocks,
        erode,
        patch,
        occlude,
        paste,
        overlay,
        ghost,
        perspective,
        stretch,
        wave,
        lens,
        glass,
        motion,
        sharpen,
        pixelate,
        posterize,
    )
}
"""Changes that the head learns to report as `other`. Training draws them by their position, so
their order is part of what a seed means."""

HELD_OUT: dict[str, Change] = {
    change.__name__: change for change in (jpeg, tint, vignette, elastic, median)
}
"""Changes that training never sees: with them, evaluation measures *retention*, how much the
metric keeps of a general one."""
