"""Replace the pixels that are left out of a comparison by content that does not depend on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels

Mask = NDArray[np.bool_]
"""[H, W], True where pixels are left out."""

SURROUNDINGS = 16
"""Pixels around a part that its new content is computed from."""


class Parts(Protocol):
    """Parts of images that are left out, such as `dps_infer.images.ignored.Ignored`."""

    def mask(self, size: tuple[int, int], /) -> Mask:
        """Return the pixels that are left out of a reference of this width and height.

        Raises:
            ImageError: the parts do not fit an image of this size, or nothing is left.
        """


def blank(
    color: Pixels, alpha: NDArray[np.uint8] | None, mask: Mask
) -> tuple[Pixels, NDArray[np.uint8] | None]:
    """Return copies in which the left out pixels are black and opaque.

    Args:
        color: uint8 RGB [H, W, 3].
        alpha: uint8 [H, W], 255 = opaque; None if every pixel is opaque.
        mask: [H, W].

    Returns:
        Color and alpha; the alpha is None if every pixel is opaque now.
    """
    color = color.copy()
    color[mask] = 0
    if alpha is not None:
        alpha = np.where(mask, np.uint8(255), alpha)
        if bool((alpha == 255).all()):
            alpha = None
    return color, alpha


def scaled(mask: Mask, size: tuple[int, int]) -> Mask:
    """Return a mask for the same image at another size: every pixel that it touches.

    Args:
        mask: [H, W].
        size: width and height in pixels.
    """
    sums = cv2.integral(mask.view(np.uint8))
    (top, bottom), (left, right) = (
        _touched(length, count) for length, count in zip(mask.shape, size[::-1], strict=True)
    )
    inside = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left]
    return np.asarray(inside + sums[top][:, left] > 0, np.bool_)


def fill(images: Sequence[Pixels], mask: Mask) -> None:
    """Replace the left out pixels of images, in place, by the same smooth content in all of them.

    Args:
        images: uint8 RGB [H, W, 3] each, with the same values wherever `mask` is True.
        mask: [H, W].
    """
    for window in _windows(mask):
        hidden = mask[window]
        mean = sum(image[window].astype(np.float32) for image in images) / np.float32(len(images))
        known = np.logical_not(hidden).astype(np.float32)
        content = _continued(np.asarray(mean, np.float32) * known[:, :, None], known)
        levels = np.rint(np.clip(content[hidden], 0, 255)).astype(np.uint8)
        for image in images:
            image[window][hidden] = levels


def _touched(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each of `count` equal pieces of a line begins and ends, rounded outward."""
    pieces = np.arange(count + 1, dtype=np.int64) * length
    return pieces[:-1] // count, -(-pieces[1:] // count)


def _windows(mask: Mask) -> Iterator[tuple[slice, slice]]:
    """Yield windows that together contain every left out pixel, with its surroundings.

    Those that are far from each other have windows of their own, so that memory follows what is
    left out and not the image.
    """
    side = 2 * SURROUNDINGS + 1
    wide = cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(wide)
    for x, y, width, height, _ in boxes[1:].tolist():
        yield slice(y, y + height), slice(x, x + width)


def _continued(values: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Continue known values smoothly: from coarse to fine, means of what is known around.

    Args:
        values: float32 [H, W, 3], 0 where unknown.
        known: float32 [H, W], from 0 to 1.
    """
    height, width = known.shape
    if min(height, width) == 1 or bool((known > 0).all()):
        total = max(float(known.sum()), 1e-6)
        mean = values.sum(axis=(0, 1)) / np.float32(total)
        return np.asarray(values + (1 - known[:, :, None]) * mean, np.float32)
    below = cv2.pyrDown(known)
    means = cv2.pyrDown(values) / np.maximum(below, 1e-6)[:, :, None]
    # What a quarter of its pixels are known of is known.
    share = np.minimum(4 * below, 1)
    coarse = _continued(np.asarray(means * share[:, :, None], np.float32), share)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(values + (1 - known[:, :, None]) * smooth, np.float32)
