"""Pairs of images from one reference or several, and their candidates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, zip_longest
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import UsageError
from dps_infer.images.decode import DecodePolicy, ImageSource, Picture, load_picture


def load_pairs(
    references: ImageSource | Sequence[ImageSource] | NDArray[np.uint8],
    candidates: Iterable[ImageSource] | NDArray[np.uint8],
    policy: DecodePolicy,
) -> Iterator[tuple[Picture, Picture]]:
    """Decode pairs one after the other, a single reference only once.

    Raises:
        UsageError: the numbers of references and candidates differ, or one image is given for
            the candidates.
        ImageError: an image cannot be used.
    """
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
