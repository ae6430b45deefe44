"""Pairs of images from one reference or several, and their candidates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, zip_longest
from typing import cast

from dps_infer.arrays import ArrayLike
from dps_infer.errors import UsageError
from dps_infer.images.decode import DecodePolicy, ImageSource, Picture, load_picture
from dps_infer.images.in_memory import is_array, is_pillow_image


def load_pairs(
    references: ImageSource | Sequence[ImageSource],
    candidates: Iterable[ImageSource] | ArrayLike,
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
        for index, candidate in enumerate(cast("Iterable[ImageSource]", candidates))
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
    if is_array(value):
        return getattr(value, "ndim", 3) <= 3
    paths = (str, bytes, bytearray, memoryview, os.PathLike)
    return isinstance(value, paths) or is_pillow_image(value) or hasattr(value, "read")
