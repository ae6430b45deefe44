"""What is left out of pairs, as small pictures that a page hatches."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from dps_infer.bulk.pairs import IGNORE, parse_column
from dps_infer.errors import DpsError
from dps_infer.images.fill import Mask
from dps_infer.images.ignored import Ignored
from dps_infer.report.rows import Pairs

LONGEST = 256
"""Longest side of a mask in pixels."""


def ignored_of(pairs: Pairs, everywhere: Ignored | None) -> list[Ignored | None]:
    """Return what is left out of each pair: by the column ``ignore``, and everywhere."""
    column = pairs.other.get(IGNORE)
    if column is None:
        return [everywhere] * len(pairs.reference)
    found: list[Ignored | None] = []
    known: dict[str, Ignored | None] = {"": everywhere}
    for text in column:
        if text not in known:
            try:
                known[text] = parse_column(text) | everywhere
            # The results state it already: such a pair was not compared.
            except DpsError:
                known[text] = everywhere
        found.append(known[text])
    return found


def hatches(
    ignored: Sequence[Ignored | None], sizes: Sequence[tuple[int, int]]
) -> tuple[list[str], list[int | None]]:
    """Return the different masks as data URLs, and the number of each pair's mask.

    Args:
        ignored: by pair.
        sizes: width and height of the references, by pair; 0 if unknown.
    """
    urls: dict[str, int] = {}
    made: dict[tuple[int, tuple[int, int]], int | None] = {}
    numbers = []
    for parts, size in zip(ignored, sizes, strict=True):
        key = (id(parts), size)
        if key not in made:
            url = "" if parts is None or 0 in size else _mask_url(parts, size)
            made[key] = urls.setdefault(url, len(urls)) if url else None
        numbers.append(made[key])
    return list(urls), numbers


def _mask_url(parts: Ignored, size: tuple[int, int]) -> str:
    try:
        return _data_url(parts.mask(size))
    except DpsError:
        return ""


def _data_url(mask: Mask) -> str:
    """Return a PNG that is opaque where pixels are left out."""
    height, width = mask.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    levels = np.where(mask, np.uint8(255), np.uint8(0))
    alpha = cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
    picture = np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha])
    _, data = cv2.imencode(".png", picture)
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")
