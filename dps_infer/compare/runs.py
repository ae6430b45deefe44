"""What is compared with what, and what shares a run of the context file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat, zip_longest
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import UsageError
from dps_infer.images.decode import DecodePolicy, ImageSource, Picture, Pixels, load_picture
from dps_infer.model.view import View

PIXELS_A_RUN = 1 << 17
"""Of all images that go through tiles at a time, but a shared reference. Tiles keep an image's own
resolution, so that memory follows the pixels, and no longer the number of images. More would not
stay in a processor's cache: a large network takes a fifteenth longer with twice as many."""

PIXELS_A_RUN_ON_CUDA = 1 << 20
"""The same there, where a run of few pixels mostly waits."""

Rendering = tuple[int, Pixels, Pixels]
"""The number of a pair, and one of its renderings: reference and distorted."""


@dataclass(frozen=True)
class Run:
    """What is run at a time.

    Attributes:
        renderings: of one size.
        candidates: how many the reference of all of them has, in this run and others; 1 where each
            has its own.
    """

    renderings: list[Rendering]
    candidates: int


def runs(renderings: list[Rendering], view: View | None, *, on_cuda: bool = False) -> Iterator[Run]:
    """Split what is of one size into what is run at a time."""
    height, width, _ = renderings[0][1].shape
    images = 2 * len(renderings)
    if view in (View.tiles, View.both):
        images = (PIXELS_A_RUN_ON_CUDA if on_cuda else PIXELS_A_RUN) // (height * width)
    by_reference: dict[int, list[Rendering]] = {}
    for rendering in renderings:
        by_reference.setdefault(id(rendering[1]), []).append(rendering)
    # One reference with many candidates has runs of its own, for all of which it is computed once.
    several = [group for group in by_reference.values() if len(group) > 1]
    single = [group[0] for group in by_reference.values() if len(group) == 1]
    for group in (*several, single):
        candidates = 1 if group is single else len(group)
        most = max(1, images // 2 if group is single else images)
        for start in range(0, len(group), most):
            yield Run(group[start : start + most], candidates)


def pictures(
    references: ImageSource | Sequence[ImageSource] | NDArray[np.uint8],
    candidates: Iterable[ImageSource] | NDArray[np.uint8],
    policy: DecodePolicy,
) -> Iterator[tuple[Picture, Picture]]:
    """Decode pairs one after the other, a single reference only once."""
    if _is_one_image(candidates):
        raise UsageError("expected several candidates, got one image: put it into a list")
    if _is_one_image(references):
        listed = [cast(ImageSource, references)]
    else:
        listed = list(cast("Sequence[ImageSource]", references))
    if len(listed) == 1:
        shared = load_picture(listed[0], label="reference", policy=policy)
        firsts: Iterable[Picture | None] = repeat(shared)
    else:
        firsts = (
            load_picture(reference, label=f"reference {index}", policy=policy)
            for index, reference in enumerate(listed)
        )
    seconds = (
        load_picture(candidate, label=f"candidate {index}", policy=policy)
        for index, candidate in enumerate(candidates)
    )
    pairs = zip(firsts, seconds) if len(listed) == 1 else zip_longest(firsts, seconds)  # noqa: B905
    for first, second in pairs:
        if first is None or second is None:
            raise UsageError(
                f"{len(listed)} references do not fit the number of candidates: expected one "
                "reference, or one a candidate"
            )
        yield first, second


def _is_one_image(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 3
    return isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike))
