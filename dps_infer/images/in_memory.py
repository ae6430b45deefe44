"""Images in memory: arrays, tensors, images of Pillow, and open files.

Nothing is guessed. Arrays are uint8 unless their range is stated, RGB unless their order is, and
the channel is last unless stated otherwise. Each has 1 channel (gray), 2 (gray, alpha), 3 (RGB) or
4 (RGBA). Neither PyTorch nor Pillow is imported: a tensor is read by ``__array__``, and an image
can only be Pillow's if the caller has imported it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import ArrayLayout, Pixels
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.formats.color import ColorSpace, icc_color_space

CHANNELS = (1, 2, 3, 4)

TOLERANCE = 1e-4
"""How far values may lie outside their range, as a share of it: rounding errors of arithmetic in
half precision, less than a twentieth of a gray level."""

LOSSLESS = 0.01
"""Gray levels by which rounding to 8 bits may change a value without a note."""

SMALLEST_SPAN = 100
"""From this range on, values that are all at most 1 are taken to be in another range."""

FEWEST_PIXELS = 64
"""Images of fewer pixels do not tell the order of their channels."""

TIMES_CLOSER = 8
"""How many times closer images are when the channels of one are reversed, if that was the mistake.
An image whose hues are turned by 150 degrees may be 5 times as close."""

_ORIENTATION = 274
_TRANSPARENT_MODES = ("1", "L", "P", "RGB")
_READ_AS = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of an image in memory, 8 bits each.

    Attributes:
        color: RGB [H, W, 3].
        alpha: [H, W], 255 = opaque; None if every pixel is opaque.
        notes: changes that were made, for people.
        color_space: as in `dps_infer.images.decode.Picture`.
        order_assumed: the channels are taken as RGB because nothing was stated.
    """

    color: Pixels
    alpha: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    color_space: ColorSpace | None = None
    order_assumed: bool = False


def is_pillow_image(source: object) -> bool:
    """Return whether this is an image of Pillow."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(source, pillow.Image)


def is_array(source: object) -> bool:
    """Return whether this is an array, or something that NumPy can read as one."""
    return hasattr(type(source), "__array__") and not is_pillow_image(source)


def check_layout(layout: ArrayLayout) -> None:
    """Reject invalid values of a layout.

    Raises:
        UsageError: the range is not two finite numbers, the first below the second; or an unknown
            order of channels.
    """
    bounds = layout.value_range
    if bounds is not None:
        try:
            low, high = (float(value) for value in bounds)
        except (TypeError, ValueError):
            low, high = math.nan, math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(
                f"expected a value_range of two numbers, black and white, like (0, 1); got {bounds}"
            )
    if layout.channel_order not in (None, "rgb", "bgr"):
        raise UsageError(
            f'expected a channel_order of "rgb" or "bgr", got {layout.channel_order!r}'
        )


def read_array(source: Any, layout: ArrayLayout) -> Samples:
    """Read an array as an image.

    Args:
        source: an array, or anything with ``__array__``; uint8 RGB pixels are used without a copy.
        layout: how to read it.

    Raises:
        ImageError: it is no image in this layout; the message does not name it.
    """
    array = _as_numpy(source)
    planes = _channels_last(array, layout)
    values, notes = _to_uint8(planes, layout.value_range)
    color, alpha = _split(values)
    if color.shape[2] == 1:
        return Samples(np.asarray(cv2.cvtColor(color, cv2.COLOR_GRAY2RGB), np.uint8), alpha, notes)
    if layout.channel_order == "bgr":
        color = np.ascontiguousarray(color[:, :, ::-1])
    return Samples(color, alpha, notes, order_assumed=layout.channel_order is None)


def read_pillow_image(image: Any, *, max_pixels: int) -> Samples:
    """Read an image of Pillow: gray, RGB, palette, bilevel or 16-bit gray, with alpha or without.

    Args:
        image: the image.
        max_pixels: the largest accepted width times height.

    Raises:
        ImageError: it cannot be read, or is refused; the message does not name it.
    """
    width, height = image.size
    if width * height == 0:
        raise ImageError("is a PIL image without pixels")
    if width * height > max_pixels:
        raise ImageError(f"has {width}x{height} pixels, more than the limit of {max_pixels}")
    mode = image.mode
    if mode not in _READ_AS and not mode.startswith("I;16"):
        raise ImageError(
            f'is a PIL image of mode {mode}: convert it first, for example image.convert("RGB")'
        )
    try:
        if getattr(image, "n_frames", 1) > 1:
            raise ImageError("is a PIL image of several frames: give a copy of one, frame.copy()")
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation not in (0, 1):
            raise ImageError(
                f"is a PIL image whose EXIF orientation {orientation} is not applied: use "
                "ImageOps.exif_transpose(image)"
            )
        if mode.startswith("I;16"):
            values, notes = _to_uint8(np.asarray(image)[:, :, None], (0, 65535))
        else:
            transparent = mode in _TRANSPARENT_MODES and "transparency" in image.info
            wanted = "RGBA" if transparent else _READ_AS[mode]
            values = np.asarray(image if mode == wanted else image.convert(wanted))
            notes = ()
    except ImageError:
        raise
    # Pillow decodes at this point, and each of its decoders has errors of its own.
    except Exception as error:
        raise ImageError(f"is a PIL image that cannot be read ({_first_line(error)})") from None
    color, alpha = _split(values if values.ndim == 3 else values[:, :, None])
    if color.shape[2] == 1:
        color = np.asarray(cv2.cvtColor(color, cv2.COLOR_GRAY2RGB), np.uint8)
    profile = image.info.get("icc_profile")
    space = icc_color_space(profile) if profile else None
    if space is not None:
        notes = (*notes, f"{space.name} is not applied: compared as sRGB")
    return Samples(np.ascontiguousarray(color), alpha, notes, space)


def read_open_file(file: Any, *, limit: int) -> bytes:
    """Read an open file from where it stands to its end.

    Args:
        file: open for reading bytes.
        limit: the largest accepted number of bytes.

    Raises:
        ImageError: it was opened as text, cannot be read, is at its end, or is too big; the
            message does not name it.
    """
    try:
        data = file.read(limit + 1)
    # Closed files, files open for writing, and readers of other packages.
    except Exception as error:
        raise ImageError(f"cannot be read ({_first_line(error)})") from None
    if isinstance(data, str):
        raise ImageError('is a file opened as text: open it with mode "rb"')
    if not isinstance(data, bytes):
        raise ImageError(f"gives {type(data).__name__} and not bytes when it is read")
    if not data:
        raise ImageError("is empty, or was read before: nothing is left in it")
    if len(data) > limit:
        raise ImageError(f"is too big, expected at most {limit >> 20} MiB")
    return data


def seems_reversed(first: Pixels, second: Pixels) -> bool:
    """Return whether two images of one size fit much better if the channels of one are reversed.

    Small images and those of one color cannot tell: red and blue icons are no mistake.
    """
    step = max(1, math.isqrt(first.shape[0] * first.shape[1]) // 64)
    one = first[::step, ::step].astype(np.int16)
    other = second[::step, ::step].astype(np.int16)
    if one.shape[0] * one.shape[1] < FEWEST_PIXELS or np.std(one[..., 0] - one[..., 2]) < 8:
        return False
    difference = float(np.abs(one - other).mean())
    if_reversed = float(np.abs(one - other[:, :, ::-1]).mean())
    return difference > 8 and if_reversed < difference / TIMES_CLOSER


def _as_numpy(source: Any) -> NDArray[Any]:
    if isinstance(source, np.ma.MaskedArray):
        raise ImageError("is a masked array, whose mask would be lost: fill it first")
    if isinstance(source, np.ndarray):
        return source
    try:
        return np.asarray(source)
    # Tensors on a GPU, with gradients, or of types that NumPy does not have.
    except Exception as error:
        raise ImageError(
            f"is a {type(source).__name__} that NumPy cannot read ({_first_line(error)})"
        ) from None


def _channels_last(array: NDArray[Any], layout: ArrayLayout) -> NDArray[Any]:
    """Return an image as [height, width, channels]."""
    shape = list(array.shape)
    if 0 in shape:
        raise ImageError(f"is an array {shape}, which has no pixels")
    if array.ndim == 2:
        return array[:, :, None]
    wanted = "[height, width, channels]" if layout.channel_last else "[channels, height, width]"
    if array.ndim == 4:
        raise ImageError(
            f"is an array {shape}, expected one image {wanted}: for a batch use compare_batch"
        )
    if array.ndim != 3:
        raise ImageError(f"is an array {shape}, expected {wanted} or gray [height, width]")
    place, other = (2, 0) if layout.channel_last else (0, 2)
    if shape[place] not in CHANNELS:
        hint = ""
        if shape[other] in CHANNELS:
            hint = f": pass channel_last={not layout.channel_last} if its channels are there"
        raise ImageError(
            f"is an array {shape}, expected {wanted} with 1 to 4 channels, or gray "
            f"[height, width]{hint}"
        )
    return array if layout.channel_last else np.moveaxis(array, 0, 2)


def _to_uint8(
    array: NDArray[Any], value_range: tuple[float, float] | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return values [H, W, channels] as uint8, with a note if that rounds them."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        if value_range is not None and tuple(value_range) != (0, 255):
            raise ImageError(
                f"is a uint8 array, whose range is (0, 255), but value_range={value_range} is "
                "given: give both images in one range"
            )
        return array.view(np.uint8), ()
    if kind not in "buif":
        raise ImageError(f"is an array of {array.dtype}, expected uint8 or other real numbers")
    if value_range is None:
        example = {"f": "(0, 1), (-1, 1) or (0, 255)", "b": "(0, 1)"}.get(kind, "(0, 65535)")
        raise ImageError(
            f"is a {array.dtype} array, expected uint8, or its range: pass value_range={example}"
        )
    low, high = (float(value) for value in value_range)
    smallest, largest = float(array.min()), float(array.max())
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise ImageError("has values that are not finite numbers")
    slack = TOLERANCE * (high - low)
    if smallest < low - slack or largest > high + slack:
        raise ImageError(
            f"has values from {smallest:g} to {largest:g}, outside value_range="
            f"({low:g}, {high:g}): clip them, or state another range"
        )
    if kind == "f" and high - low >= SMALLEST_SPAN and smallest >= 0 and 0 < largest <= 1:
        raise ImageError(
            f"has values from {smallest:g} to {largest:g}, hardly in value_range="
            f"({low:g}, {high:g}): pass value_range=(0, 1) if that is their range"
        )
    result = np.empty(array.shape, np.uint8)
    worst = 0.0
    for rows in _blocks(array.shape):
        levels = (array[rows].astype(np.float64) - low) * (255 / (high - low))
        rounded = np.rint(levels)
        worst = max(worst, float(np.abs(levels - rounded).max()))
        result[rows] = np.clip(rounded, 0, 255)
    if worst <= LOSSLESS:
        return result, ()
    return result, (f"{array.dtype} samples rounded to 8 bits",)


def _split(values: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Split [H, W, channels] into color and alpha; an opaque alpha is None."""
    if values.shape[2] in (1, 3):
        return values, None
    alpha = np.ascontiguousarray(values[:, :, -1])
    color = np.ascontiguousarray(values[:, :, :-1])
    return color, None if bool((alpha == 255).all()) else alpha


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Divide rows into blocks of at most a quarter of a megapixel, for small intermediates."""
    height = max(1, (1 << 18) // max(1, shape[1]))
    for start in range(0, shape[0], height):
        yield slice(start, start + height)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
