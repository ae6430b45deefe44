"""Parts of images that are left out of a comparison.

Whatever is left out can influence nothing: before the network sees the two images, these pixels
are replaced in both by the same content, which is computed from the other pixels alone. It adds no
difference, since it is the same, and no edges, since it continues the surroundings smoothly. It is
made of the mean of both images, so that distances stay symmetric.

Boxes and masks are in the coordinates of the reference, upright, with the origin at the top left
corner. A box in percent leaves out every pixel that it touches. A box that reaches beyond the image
ends at its border.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import cast

import cv2
import numpy as np

from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import ImageSource, load_picture
from dps_infer.images.fill import Mask

BoxSource = str | Sequence[int]
"""``"X,Y,W,H"``, each a whole number of pixels or a percentage like ``12.5%`` of the width (X, W)
or height (Y, H); or four whole numbers of pixels."""

COUNTS = 128
"""Gray level from which on a pixel of a mask counts."""

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", re.ASCII)


class Ignored:
    """Parts that are left out: boxes, and what a mask does not mark as counting.

    Args:
        boxes: the boxes, see `BoxSource`.
        mask: an image of the size of the reference: white (gray level `COUNTS` or more) counts,
            black is left out. A path, an encoded image, uint8 RGB pixels [H, W, 3], or an array
            of booleans [H, W], True where pixels count.

    Raises:
        UsageError: a box is not valid.
        ImageError: the mask cannot be read, or has transparent pixels.
    """

    def __init__(
        self, boxes: Sequence[BoxSource] = (), mask: ImageSource | Mask | None = None
    ) -> None:
        if isinstance(boxes, str):
            boxes = [boxes]
        self._boxes: tuple[_Box, ...] = tuple(_parse(box) for box in boxes)
        self._masks: tuple[tuple[str, Mask], ...] = () if mask is None else (_read_mask(mask),)
        self._last: tuple[tuple[int, int], Mask] | None = None

    def __or__(self, other: Ignored | None) -> Ignored:
        """Return the parts of both."""
        if other is None:
            return self
        both = Ignored()
        both._boxes, both._masks = self._boxes + other._boxes, self._masks + other._masks
        return both

    def __bool__(self) -> bool:
        """Return whether there are any parts."""
        return bool(self._boxes or self._masks)

    def __getstate__(self) -> tuple[tuple[object, ...], tuple[tuple[str, Mask], ...]]:
        """Return the parts, for copies in other processes."""
        return self._boxes, self._masks

    def __setstate__(self, state: tuple[tuple[_Box, ...], tuple[tuple[str, Mask], ...]]) -> None:
        """Take the parts of another process."""
        (self._boxes, self._masks), self._last = state, None

    def describe(self) -> str:
        """Return text that is the same for the same parts only."""
        masks = (hashlib.sha256(_packed(mask)).hexdigest() for _, mask in self._masks)
        return ";".join([*(box.text for box in self._boxes), *masks])

    def mask(self, size: tuple[int, int]) -> Mask:
        """Return the pixels that are left out of an image; do not change the array.

        Args:
            size: width and height of the reference in pixels.

        Raises:
            ImageError: a box lies outside, the mask has another size, or nothing is left.
        """
        if self._last is not None and self._last[0] == size:
            return self._last[1]
        width, height = size
        found = np.zeros((height, width), np.bool_)
        for label, mask in self._masks:
            if mask.shape != found.shape:
                raise ImageError(
                    f"{label}: the mask is {mask.shape[1]}x{mask.shape[0]}, expected the size of "
                    f"the reference, {width}x{height} (width x height)"
                )
            found |= mask
        for box in self._boxes:
            found[box.rows(height), box.columns(width)] = True
            if box.rows(height).start >= height or box.columns(width).start >= width:
                raise ImageError(
                    f"the ignored box {box.text} lies outside of an image of {width}x{height} "
                    "(width x height)"
                )
        if found.all():
            raise ImageError("every pixel is ignored: nothing is left to compare")
        self._last = (size, found)
        return found


def as_ignored(value: Ignored | Sequence[BoxSource] | None) -> Ignored | None:
    """Return parts that are given as such, or as boxes; None if there are none.

    Raises:
        UsageError: a box is not valid.
    """
    if value is not None and not isinstance(value, Ignored):
        value = Ignored(value)
    return value or None


class _Box:
    """A box: where it begins and ends, in pixels or as shares of the image."""

    def __init__(self, text: str, values: Sequence[tuple[Fraction, bool]]) -> None:
        self.text = text
        self._left, self._top, self._width, self._height = values

    def columns(self, width: int) -> slice:
        return _span(self._left, self._width, width)

    def rows(self, height: int) -> slice:
        return _span(self._top, self._height, height)


def _span(start: tuple[Fraction, bool], length: tuple[Fraction, bool], total: int) -> slice:
    def pixels(value: tuple[Fraction, bool]) -> Fraction:
        number, percent = value
        return number * total / 100 if percent else number

    first = pixels(start)
    return slice(floor(first), ceil(first + pixels(length)))


def _parse(box: BoxSource) -> _Box:
    text = box if isinstance(box, str) else ",".join(map(str, box))
    found = [_NUMBER.fullmatch(number) for number in text.split(",")]
    values = [
        (Fraction(match[1]), bool(match[2]))
        for match in found
        if match and (match[2] or "." not in match[1])
    ]
    if len(found) != 4 or len(values) != 4:
        raise UsageError(
            f"expected a box X,Y,W,H of four whole numbers of pixels or percentages, like "
            f"10,20,300,40 or 0,90%,100%,10%, got {text!r}"
        )
    if values[2][0] == 0 or values[3][0] == 0:
        raise UsageError(f"expected a box with a width and a height above 0, got {text!r}")
    return _Box(",".join(number.strip() for number in text.split(",")), values)


def _read_mask(source: ImageSource | Mask) -> tuple[str, Mask]:
    """Return the name of a mask in messages, and what it leaves out."""
    if isinstance(source, np.ndarray) and source.dtype == np.bool_ and source.ndim == 2:
        return "mask", np.logical_not(source)
    picture = load_picture(cast(ImageSource, source), label="mask")
    if picture.alpha is not None:
        raise ImageError(
            f"{picture.label}: the mask has transparent pixels, expected black (left out) and "
            "white (counts) only"
        )
    gray = cv2.cvtColor(picture.color, cv2.COLOR_RGB2GRAY)
    return picture.label, np.asarray(gray < COUNTS, np.bool_)


def _packed(mask: Mask) -> bytes:
    return repr(mask.shape).encode() + np.packbits(mask).tobytes()
