"""The mixture of images that the embedded metric is trained on, without a download.

Photographs alone are too few to generalize from, and drawings alone too unlike real images. So
about half are crops of photographs, and the rest are pages, screens, collages and surfaces of
many kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.files.write import atomic_file
from dps_infer.progress import track
from dps_train.pretrain.images.collages import mosaic, photograph_collage, textured_leaves
from dps_train.pretrain.images.drawings import line_drawing, street_map
from dps_train.pretrain.images.pages import screenshot, text_page
from dps_train.pretrain.images.photographs import (
    Photographs,
    load_photographs,
    photograph_crop,
    thumbnail,
)
from dps_train.pretrain.images.procedural import fractal_noise, gradient, sky

Painter = Callable[[int, np.random.Generator], Pixels]
"""From a side in pixels and a random generator to uint8 RGB [side, side, 3]."""

KIND_SHARES = {
    "photograph": 0.42,
    "thumbnail": 0.10,
    "collage": 0.18,
    "leaves": 0.08,
    "text": 0.09,
    "screenshot": 0.03,
    "mosaic": 0.02,
    "sky": 0.02,
    "gradient": 0.015,
    "noise": 0.015,
    "drawing": 0.015,
    "map": 0.015,
}
"""The probability of each kind of image."""


PAGE_SHARES = {"text": 0.3, "screenshot": 0.5, "drawing": 0.08, "map": 0.06, "mosaic": 0.06}
"""The same of pages, screens and the like alone."""


def pretraining_images(
    count: int, side: int, generator: torch.Generator, shares: Mapping[str, float] = KIND_SHARES
) -> Tensor:
    """Draw images of random kinds: uint8 RGB [count, 3, side, side].

    Equal seeds give equal bytes.

    Raises:
        ImageError: scikit-image is missing or does not bundle one of the photographs.
    """
    rng = np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=generator)))
    paint = painters(load_photographs())
    kinds = rng.choice(list(shares), count, p=list(shares.values()))
    images = torch.empty((count, 3, side, side), dtype=torch.uint8)
    for index, kind in enumerate(track(kinds.tolist(), "Drawing images")):
        painted = np.ascontiguousarray(paint[kind](side, rng))
        images[index] = torch.from_numpy(painted).permute(2, 0, 1)
    return images


def kept_images(
    path: Path | None,
    count: int,
    side: int,
    generator: torch.Generator,
    shares: Mapping[str, float] = KIND_SHARES,
) -> Tensor:
    """Return `pretraining_images`, which are painted once and kept in a file.

    Args:
        path: the safetensors file; None keeps none.
        count: of the images.
        side: of them in pixels.
        generator: of everything random; it draws the same whether the file exists or not.
        shares: the probability of each kind of image.
    """
    if path is None:
        return pretraining_images(count, side, generator, shares)
    if path.exists():
        torch.randint(2**63 - 1, (1,), generator=generator)
        return safetensors.torch.load_file(path)["images"]
    images = pretraining_images(count, side, generator, shares)
    with atomic_file(path, force=True) as temporary:
        safetensors.torch.save_file({"images": images}, temporary)
    return images


def painters(photographs: Photographs) -> dict[str, Painter]:
    """Return the function that draws each kind of image."""
    return {
        "photograph": partial(photograph_crop, photographs),
        "thumbnail": partial(thumbnail, photographs),
        "collage": partial(photograph_collage, photographs),
        "leaves": partial(textured_leaves, photographs),
        "text": partial(text_page, photographs),
        "screenshot": partial(screenshot, photographs),
        "mosaic": partial(mosaic, photographs),
        "sky": sky,
        "gradient": gradient,
        "noise": fractal_noise,
        "drawing": line_drawing,
        "map": street_map,
    }
