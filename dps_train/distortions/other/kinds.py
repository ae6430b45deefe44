"""The tables of other changes: those that training uses, and those kept for evaluation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dps_train.distortions.other import filters, geometry, held_out, noise, occlusions, tones

Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]

TRAINED: dict[str, Change] = {
    change.__name__: change
    for change in (
        noise.noise,
        noise.grain,
        noise.salt,
        noise.stripes,
        tones.contrast,
        tones.harden,
        tones.brighten,
        tones.haze,
        tones.desaturate,
        tones.saturate,
        tones.gamma,
        noise.blocks,
        filters.erode,
        tones.patch,
        occlusions.occlude,
        occlusions.paste,
        occlusions.overlay,
        occlusions.ghost,
        geometry.perspective,
        geometry.stretch,
        geometry.wave,
        geometry.lens,
        geometry.glass,
        geometry.motion,
        filters.sharpen,
        filters.pixelate,
        tones.posterize,
    )
}
"""Changes that the head learns to report as `other`. Training draws them by their position, so
their order is part of what a seed means."""

HELD_OUT: dict[str, Change] = {
    change.__name__: change
    for change in (
        held_out.jpeg2000,
        held_out.flare,
        held_out.rain,
        held_out.halftone,
        held_out.seam,
    )
}
"""Changes that training never sees: with them, evaluation measures *retention*, how much the
metric keeps of a general one."""
