"""The decode policy: how image files become the uint8 RGB pixels that are compared.

- *Formats*: JPEG, PNG, WebP, BMP, TIFF and PNM (PBM, PGM, PPM), recognized by content and never by
  name; AVIF and HEIC too, if the extra `formats` is installed. Others are refused by name (GIF,
  JPEG 2000, JPEG XL, JPEG-LS, PAM ...), and so are Git LFS pointers, URLs and web pages.
- *Orientation*: all eight EXIF orientations are applied (JPEG, PNG, WebP, TIFF).
- *Gray* is expanded to RGB, palettes are looked up, and CMYK JPEG is converted to RGB without a
  color profile, with a note.
- *Color*: samples are compared as they are, as sRGB; nothing is converted. If a file states another
  color space (by an ICC profile, PNG's cICP, gAMA and cHRM, EXIF, or the tags of TIFF and BMP), a
  note names it. If two images state different color spaces, another note says so: equal numbers
  are different colors then. ICC profiles whose numbers are those of sRGB cause no note.
- *Depth*: 16-bit samples become 8-bit ones: value / 257, rounded, with a note.
- *High dynamic range* is refused: float samples, OpenEXR, Radiance, PFM, and PNG, AVIF and HEIC
  with a PQ or HLG transfer function.
- *Layouts of TIFF and BMP* that decoders disagree about are refused: separate planes of 16 bits,
  compressions other than LZW, Deflate, PackBits, JPEG and fax, unusual masks, run lengths in BMP.
- *Alpha* is composited over a background (`DecodePolicy.background`, white by default), with a
  note. If the alphas of two images differ anywhere, the images are compared twice, over that
  background and over its opposite (black for a bright background, white for a dark one), and the
  larger distance counts. No difference in alpha can hide from both: a pixel's two composites differ
  by (1 - alpha) * 255, so together they determine its alpha. Equal alphas need one comparison only,
  because the background cancels out. Colors of fully transparent pixels do not count, because
  nobody sees them.
- *One image per file*: animations and multi-page TIFF files are refused. Reduced versions and masks
  of a TIFF page do not count as pages, and previews after a JPEG's end marker are ignored.
- *Complete files only*: a file is refused if its end is missing, a PNG checksum is wrong, scans of
  a JPEG are missing, libjpeg had to make up part of a JPEG, a strip or tile of a TIFF is missing,
  too short or overlaps another, or libtiff reports damage. Padding between the segments of a JPEG
  or at its end causes a note. Damage that a format cannot show, such as other sample values
  without a checksum, is not seen.
- *Limits*: files over 512 MiB and images with more than `DecodePolicy.max_pixels` pixels are
  refused before they are decoded. Only regular files are read, no pipes or devices. Decoding and
  compositing take at most 24 bytes per pixel (`BYTES_PER_PIXEL`) and three times the file's size.
- *Sizes*: images of different sizes are refused unless a resize is requested. Then the second image
  is composited and resized to the size of the first, by area averaging where it shrinks and by
  cubic interpolation where it grows, with a note.
- *Parts left out* (`dps_infer.images.ignored`) are replaced in both images by the same content,
  before anything is compared or resized, with a note. Their colors and alpha do not count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import ArrayLayout, ArrayLike, PillowImage, Pixels, Readable
from dps_infer.errors import ImageError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.images.codec import decode
from dps_infer.images.fill import Mask, Parts, blank, fill, scaled
from dps_infer.images.formats.color import ColorSpace
from dps_infer.images.formats.header import Header
from dps_infer.images.headers import ACCEPTED, read_header
from dps_infer.images.in_memory import (
    Samples,
    check_layout,
    is_array,
    is_pillow_image,
    read_array,
    read_open_file,
    read_pillow_image,
    seems_reversed,
)

Encoded = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable
ImageSource = Encoded | Pixels | ArrayLike | PillowImage
"""A path, an encoded image, a file open for reading bytes, an array or anything with ``__array__``
(`dps_infer.arrays.ArrayLayout`), or an image of Pillow."""

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

MAX_FILE_BYTES = 512 * MEBIBYTE
BYTES_PER_PIXEL = 24
"""The most memory that decoding and compositing take per pixel, beside three times the file's size:
the file, a patched copy, and a strip of TIFF that holds all of it."""
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)


@dataclass(frozen=True)
class DecodePolicy(ArrayLayout):
    """Options of the decode policy, and the layout of arrays (`dps_infer.arrays.ArrayLayout`).

    Attributes:
        background: the color behind transparent images.
        max_pixels: the largest accepted width times height.
    """

    background: Color = WHITE
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        """Reject invalid values."""
        if len(self.background) != 3 or not all(0 <= value <= 255 for value in self.background):
            raise UsageError(
                f"expected a background of three numbers 0 to 255, got {self.background}"
            )
        if self.max_pixels < 1:
            raise UsageError(f"expected a limit of at least one pixel, got {self.max_pixels}")
        check_layout(self)


DEFAULT_POLICY = DecodePolicy()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, upright, not yet composited.

    Attributes:
        label: its name in messages: a path, or its role in the comparison.
        color: uint8 RGB [H, W, 3].
        alpha: uint8 [H, W], 255 = opaque; None if every pixel is opaque.
        premultiplied: `color` is already multiplied by alpha.
        color_space: the stated color space; None for sRGB, or if none is stated.
        notes: changes made by decoding, for people.
        order_assumed: the channels of an array are taken as RGB because nothing was stated.
    """

    label: str
    color: Pixels
    alpha: NDArray[np.uint8] | None = None
    premultiplied: bool = False
    notes: tuple[str, ...] = ()
    color_space: ColorSpace | None = None
    order_assumed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.color.shape[1], self.color.shape[0]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images of equal size without alpha, ready to be compared.

    Attributes:
        renderings: one or two pairs of uint8 RGB images [H, W, 3], the reference first. The
            rendering with the largest distance counts.
        notes: changes made to the images, for people.
        ignored: [H, W], True where pixels are left out; None if all count.
    """

    renderings: tuple[tuple[Pixels, Pixels], ...]
    notes: tuple[str, ...]
    ignored: Mask | None = None

    @property
    def identical(self) -> bool:
        """Whether no pixel of any rendering differs."""
        # Most different images differ in the first row; checking it first saves time.
        return all(
            np.array_equal(first[:1], second[:1]) and np.array_equal(first, second)
            for first, second in self.renderings
        )


def load_picture(
    source: ImageSource, *, label: str, policy: DecodePolicy = DEFAULT_POLICY
) -> Picture:
    """Read and decode one image by the policy of this module.

    Args:
        source: see `ImageSource`; uint8 RGB pixels [H, W, 3] are used without a copy.
        label: the name in messages of an image that is not a path.
        policy: options of the decode policy.

    Raises:
        ImageError: the image cannot be read or is refused.
    """
    try:
        if is_pillow_image(source):
            return _picture(read_pillow_image(source, max_pixels=policy.max_pixels), label)
        if is_array(source):
            return _picture(read_array(source, policy), label)
    except ImageError as error:
        raise ImageError(f"{label}: {error}") from None
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not data:
            raise ImageError(f"{label}: is empty, expected an encoded image ({ACCEPTED})")
    elif isinstance(source, (str, os.PathLike)):
        label = os.fspath(source)
        if _URL.match(label):
            raise ImageError(f"{label}: is a URL, expected a file: download the image first")
        data = read_bytes(
            source,
            expected=f"an image ({ACCEPTED})",
            limit=MAX_FILE_BYTES,
            error=ImageError,
            regular=True,
        )
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)
        label = name if isinstance(name, str) and name else label
        try:
            data = read_open_file(source, limit=MAX_FILE_BYTES)
        except ImageError as error:
            raise ImageError(f"{label}: {error}") from None
    else:
        raise ImageError(
            f"{label}: is a {type(source).__name__}, expected a path, the bytes of a file, an open "
            "file, an array, or a PIL image"
        )
    try:
        return _decode(data, label, policy)
    except ImageError as error:
        raise ImageError(f"{label}: {error}") from None


_URL = re.compile(r"(https?|ftp|s3|gs):/", re.IGNORECASE)
"""With one slash: a `Path` keeps no more."""


def make_pair(
    reference: Picture,
    distorted: Picture,
    *,
    resize: bool = False,
    policy: DecodePolicy = DEFAULT_POLICY,
    ignored: Parts | None = None,
) -> Pair:
    """Composite the alpha of two images, and resize the second one if `resize` is set.

    Args:
        reference: the first image; it stays as it is.
        distorted: the second image; it stays as it is.
        resize: resize `distorted` to the size of `reference` if they differ.
        policy: options of the decode policy.
        ignored: parts that are left out.

    Raises:
        ImageError: their sizes differ and `resize` is off, or `ignored` does not fit them.
    """
    if reference.size != distorted.size and not resize:
        raise ImageError(
            f"the sizes differ: {reference.label} is {_by(reference.size)}, {distorted.label} is "
            f"{_by(distorted.size)} (width x height): crop one, or request a resize (--resize)"
        )
    mask = None if ignored is None else ignored.mask(reference.size)
    if mask is not None:
        reference, distorted = _without(reference, mask), _without(distorted, mask)
    if reference.order_assumed or distorted.order_assumed:
        _check_order(reference, distorted)
    notes = [*reference.notes, *distorted.notes]
    if reference.color_space != distorted.color_space:
        names = (_space(picture) for picture in (reference, distorted))
        notes.append(
            f"the color spaces differ ({' and '.join(names)}) and are not converted: equal numbers "
            "are different colors"
        )
    backgrounds = [policy.background]
    if _alphas_differ(reference, distorted):
        backgrounds.append(_opposite(policy.background))
        notes.append(
            f"alpha differs: compared over {_name(backgrounds[0])} and over "
            f"{_name(backgrounds[1])}, the larger distance counts"
        )
    elif reference.alpha is not None:
        notes.append(f"alpha composited over {_name(policy.background)}")
    if reference.size != distorted.size:
        notes.append(
            f"{distorted.label}: resized from {_by(distorted.size)} to {_by(reference.size)}"
        )
    renderings = tuple(
        (composite(reference, background), _fit(composite(distorted, background), reference.size))
        for background in backgrounds
    )
    if mask is not None:
        notes.append(f"{_share(float(mask.mean()))} of the image is left out")
        if len(renderings) > 1:
            # An opaque picture is one array, whatever the background.
            renderings = tuple((first.copy(), second.copy()) for first, second in renderings)
        for rendering in renderings:
            fill(rendering, mask)
    return Pair(renderings, tuple(notes), mask)


def composite(picture: Picture, background: Color) -> Pixels:
    """Composite a picture over a background.

    Returns:
        uint8 RGB [H, W, 3]; the picture's own array if it is opaque.
    """
    if picture.alpha is None:
        return picture.color
    result = np.empty_like(picture.color)
    for rows in _blocks(picture.alpha.shape):
        # 16 bits hold 255 * 255 and the rounding term, at half the memory of 32 bits.
        alpha = picture.alpha[rows, :, None].astype(np.uint16)
        behind = (255 - alpha) * np.asarray(background, np.uint16)
        if picture.premultiplied:
            # Badly made files have premultiplied colors that exceed their alpha.
            result[rows] = np.minimum(picture.color[rows] + (behind + 127) // 255, 255)
        else:
            result[rows] = (picture.color[rows] * alpha + behind + 127) // 255
    return result


def _decode(data: bytes, label: str, policy: DecodePolicy) -> Picture:
    header = read_header(data)
    if header.width * header.height > policy.max_pixels:
        raise ImageError(
            f"has {_by((header.width, header.height))} pixels, more than the limit of "
            f"{policy.max_pixels / 1e6:g} million: use a smaller image"
        )
    image, warnings = decode(data, header)
    notes = [f"{label}: the JPEG decoder warns: {warning}" for warning in warnings]
    if image is None or not _has_size(image[0].shape, header):
        raise ImageError(f"is a damaged or unusual {header.format} image: save it again as PNG")
    color, alpha = image
    if color.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"has {color.dtype} samples, expected 8 or 16 bits: save it as PNG")
    if header.ignore_alpha:
        alpha = None
    if header.transparent_gray is not None and color.ndim == 2:
        opaque = 255 if color.dtype == np.uint8 else 65535
        alpha = np.where(color == header.transparent_gray, 0, opaque).astype(color.dtype)
    if color.dtype == np.uint16:
        notes.append(f"{label}: 16-bit samples scaled to 8-bit")
    if header.color_space is not None:
        notes.append(f"{label}: {header.color_space.name} is not applied: compared as sRGB")
    if header.cmyk:
        notes.append(f"{label}: CMYK converted to RGB without a color profile")
    pixels = _to_8_bits(color)
    if pixels.ndim == 2:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    opacity = None if alpha is None else _to_8_bits(alpha)
    if opacity is not None and bool((opacity == 255).all()):
        opacity = None
    return Picture(
        label,
        _upright(pixels, header.orientation),
        None if opacity is None else _upright(opacity, header.orientation),
        header.premultiplied,
        tuple(notes),
        header.color_space,
    )


def _has_size(shape: tuple[int, ...], header: Header) -> bool:
    if header.cropped:
        return max(shape[:2]) <= max(header.width, header.height)
    return shape[:2] == (header.height, header.width)


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    result = np.empty(values.shape, np.uint8)
    for rows in _blocks(values.shape):
        # 257 is odd, so no value lies halfway between two.
        result[rows] = (values[rows].astype(np.uint32) + 128) // 257
    return result


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Divide rows into blocks of a quarter of a megapixel, so that intermediates are small."""
    height = max(1, (1 << 18) // max(1, shape[1]))
    for start in range(0, shape[0], height):
        yield slice(start, start + height)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation; 5 to 8 swap width and height."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _picture(samples: Samples, label: str) -> Picture:
    return Picture(
        label,
        samples.color,
        samples.alpha,
        notes=tuple(f"{label}: {note}" for note in samples.notes),
        color_space=samples.color_space,
        order_assumed=samples.order_assumed,
    )


def _check_order(reference: Picture, distorted: Picture) -> None:
    """Refuse an array that seems to be BGR, as OpenCV reads images, and was not stated to be."""
    if reference.size != distorted.size or not seems_reversed(reference.color, distorted.color):
        return
    assumed = [picture.label for picture in (reference, distorted) if picture.order_assumed]
    if len(assumed) == 1:
        problem = f'{assumed[0]}: seems to be BGR: pass channel_order="bgr"'
    else:
        problem = (
            f"{' and '.join(assumed)}: one seems to be RGB and the other BGR: reverse the channels "
            "of one, array[..., ::-1]"
        )
    raise ImageError(f'{problem}, or channel_order="rgb" if it is not')


def _without(picture: Picture, mask: Mask) -> Picture:
    """Return a picture without what a mask of the reference leaves out."""
    own = mask if picture.size == mask.shape[::-1] else scaled(mask, picture.size)
    color, alpha = blank(picture.color, picture.alpha, own)
    if own is not mask:
        # Resizing mixes neighbors: what is left out must not reach those that count.
        fill([color], own)
    return replace(picture, color=color, alpha=alpha)


def _share(share: float) -> str:
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _alphas_differ(first: Picture, second: Picture) -> bool:
    if first.alpha is None and second.alpha is None:
        return False
    if first.alpha is None or second.alpha is None or first.size != second.size:
        return True
    return not np.array_equal(first.alpha, second.alpha)


def _opposite(background: Color) -> Color:
    """Return black or white, whichever is farther from the background."""
    return BLACK if sum(background) > 3 * 127 else WHITE


def _fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to a width and height: first shrink by area averaging, then enlarge."""
    width, height = pixels.shape[1], pixels.shape[0]
    smaller = (min(width, size[0]), min(height, size[1]))
    if smaller != (width, height):
        pixels = np.asarray(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return pixels


def _space(picture: Picture) -> str:
    return "sRGB" if picture.color_space is None else picture.color_space.name


def _name(color: Color) -> str:
    return {WHITE: "white", BLACK: "black"}.get(color, f"RGB {color}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
