"""The decode policy: how an image file becomes the uint8 RGB pixels that are compared.

All of it is stated and done here.

- *Formats*: JPEG, PNG, WebP, BMP, TIFF and PNM (PBM, PGM, PPM), told by content and never
  by name. Others are refused by name where they are known (GIF, AVIF, HEIF, JPEG 2000,
  JPEG XL, PAM ...).
- *Orientation*: EXIF orientation is applied, all eight of them (JPEG, PNG, WebP, TIFF).
- *Grey* is widened to RGB; palettes are looked up; CMYK JPEG is converted to RGB without a
  colour profile, with a note.
- *Colour*: samples are taken as sRGB; embedded colour profiles are not applied.
- *Depth*: 16-bit samples become 8-bit by value / 257, rounded, with a note.
- *High dynamic range* is refused: float samples, OpenEXR, Radiance, PFM, and PNG that
  states a PQ or HLG transfer function.
- *Alpha* is composited over a stated background (white unless `DecodePolicy` says
  otherwise), with a note. Two images whose alpha differs anywhere are compared twice, over
  that background and over its opposite (black for a bright background, white for a dark
  one), and the larger distance counts. Over both at once no difference of alpha can hide:
  the two composites of a pixel differ by (1 - alpha) * 255, so together they give its
  alpha. Where the alphas are equal, the background cancels out of the difference, and one
  comparison will do. Colours beneath full transparency do not count, as nobody sees them.
- *One file, one image*: animations and TIFF files of several pages are refused (reduced
  versions and masks of a page do not count, nor do previews behind a JPEG's end).
- *Whole files only*: a missing end, a wrong PNG checksum, or a JPEG of which libjpeg had
  to make up a part is refused. Surplus bytes inside a JPEG are noted.
- *Limits*: a file of more than 512 MiB, or an image that states more pixels than
  `DecodePolicy.max_pixels`, is refused before anything of it is decoded.
- *Sizes*: images of different sizes are refused unless a resize is asked for. Then the
  second is resized to the size of the first, after compositing: shrunk by area averaging,
  enlarged by cubic interpolation, with a note.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.errors import ImageError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.images.codec import decode
from dps_infer.images.headers import ACCEPTED, Header, read_header

Pixels = NDArray[np.uint8]
"""uint8 RGB, [H, W, 3]."""

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Pixels
"""A path, an encoded image, or uint8 RGB pixels [H, W, 3]."""

Colour = tuple[int, int, int]

MAX_FILE_BYTES = 512 * MEBIBYTE
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True)
class DecodePolicy:
    """The two choices that the policy leaves open.

    Attributes:
        background: RGB colour, 0 to 255 each, over which transparent images are composited.
        max_pixels: the largest width times height accepted.
    """

    background: Colour = WHITE
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        """Refuse colours and limits that mean nothing."""
        if len(self.background) != 3 or not all(0 <= value <= 255 for value in self.background):
            raise UsageError(
                f"expected a background of three numbers 0 to 255, got {self.background}"
            )
        if self.max_pixels < 1:
            raise UsageError(f"expected a limit of at least one pixel, got {self.max_pixels}")


DEFAULT_POLICY = DecodePolicy()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, upright, not yet composited.

    Attributes:
        label: how messages call it: its path, or its part in the comparison.
        colour: uint8 RGB [H, W, 3].
        alpha: uint8 [H, W], 255 = opaque; None if every pixel is opaque.
        premultiplied: `colour` is already multiplied by alpha.
        notes: what decoding changed, for people.
    """

    label: str
    colour: Pixels
    alpha: NDArray[np.uint8] | None = None
    premultiplied: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.colour.shape[1], self.colour.shape[0]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images made comparable: equal sizes, no alpha.

    Attributes:
        renderings: one or two pairs of uint8 RGB images [H, W, 3], the reference first. Of
            several, the one with the larger distance counts.
        notes: what was done to the images, for people.
    """

    renderings: tuple[tuple[Pixels, Pixels], ...]
    notes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether no pixel of any rendering differs."""
        # Images that differ mostly do in their first row, and looking at all of them takes time.
        return all(
            np.array_equal(first[:1], second[:1]) and np.array_equal(first, second)
            for first, second in self.renderings
        )


def load_picture(
    source: ImageSource, *, label: str, policy: DecodePolicy = DEFAULT_POLICY
) -> Picture:
    """Read and decode one image by the policy of this module.

    Args:
        source: a path, an encoded image, or uint8 RGB pixels [H, W, 3], which are taken as
            they are and not copied.
        label: what to call it in messages if it is not a path.
        policy: what the policy leaves open.

    Raises:
        ImageError: naming the image, what was expected and what to do.
    """
    if isinstance(source, np.ndarray):
        return Picture(label, _checked_pixels(source, label))
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not data:
            raise ImageError(f"{label}: is empty, expected an encoded image ({ACCEPTED})")
    elif isinstance(source, (str, os.PathLike)):
        label = os.fspath(source)
        data = read_bytes(
            source,
            expected=f"an image ({ACCEPTED})",
            limit=MAX_FILE_BYTES,
            error=ImageError,
        )
    else:
        raise ImageError(
            f"{label}: is a {type(source).__name__}, expected a path, bytes or a uint8 RGB array "
            "[height, width, 3]"
        )
    try:
        return _decode(data, label, policy)
    except ImageError as error:
        raise ImageError(f"{label}: {error}") from None


def make_pair(
    reference: Picture,
    distorted: Picture,
    *,
    resize: bool = False,
    policy: DecodePolicy = DEFAULT_POLICY,
) -> Pair:
    """Make two images comparable: composite their alpha, and resize the second if asked to.

    Raises:
        ImageError: their sizes differ and `resize` is off.
    """
    if reference.size != distorted.size and not resize:
        raise ImageError(
            f"the sizes differ: {reference.label} is {_by(reference.size)}, {distorted.label} is "
            f"{_by(distorted.size)} (width x height): crop one, or ask for a resize (--resize)"
        )
    notes = [*reference.notes, *distorted.notes]
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
    return Pair(renderings, tuple(notes))


def composite(picture: Picture, background: Colour) -> Pixels:
    """Return a picture over a background: uint8 RGB [H, W, 3], its own pixels if opaque."""
    if picture.alpha is None:
        return picture.colour
    # 255 * 255 and the rounding fit into 16 bits, which halves the memory of large images.
    alpha = picture.alpha[:, :, None].astype(np.uint16)
    behind = (255 - alpha) * np.asarray(background, np.uint16)
    if not picture.premultiplied:
        return np.asarray((picture.colour * alpha + behind + 127) // 255, np.uint8)
    # Premultiplied colours above their alpha occur in badly made files.
    return np.asarray(np.minimum(picture.colour + (behind + 127) // 255, 255), np.uint8)


def _decode(data: bytes, label: str, policy: DecodePolicy) -> Picture:
    header = read_header(data)
    if header.width * header.height > policy.max_pixels:
        raise ImageError(
            f"has {_by((header.width, header.height))} pixels, more than the limit of "
            f"{policy.max_pixels / 1e6:g} million: use a smaller image"
        )
    pixels, warnings = decode(data)
    notes = [f"{label}: {note}" for note in _check_warnings(warnings)]
    if pixels is None or pixels.shape[:2] not in (
        (header.height, header.width),
        (header.width, header.height),
    ):
        raise ImageError(f"is a damaged or unusual {header.format} image: save it again as PNG")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"has {pixels.dtype} samples, expected 8 or 16 bits: save it as PNG")
    alpha = _alpha(pixels, header)
    if pixels.dtype == np.uint16:
        notes.append(f"{label}: 16-bit samples scaled to 8-bit")
        pixels = _to_8_bits(pixels)
        alpha = None if alpha is None else _to_8_bits(alpha)
    if header.inks:
        notes.append(f"{label}: CMYK converted to RGB without a colour profile")
    colour = _to_rgb(np.asarray(pixels, np.uint8))
    if alpha is not None and bool((alpha == 255).all()):
        alpha = None
    return Picture(
        label,
        _upright(colour, header.orientation),
        None if alpha is None else _upright(np.asarray(alpha, np.uint8), header.orientation),
        header.premultiplied,
        tuple(notes),
    )


def _check_warnings(warnings: list[str]) -> list[str]:
    """Return what libjpeg warned of as notes; refuse an image of which it made up a part."""
    for warning in warnings:
        if not any(harmless in warning for harmless in _HARMLESS):
            raise ImageError(f"is a damaged JPEG ({warning}): get the whole file again")
    return [f"the JPEG decoder warns: {warning}" for warning in warnings]


_HARMLESS = ("extraneous bytes", "Adobe color transform", "bad ICC marker")
"""Some cameras leave surplus bytes in sound images; colour profiles are not applied anyway."""


def _alpha(pixels: NDArray[np.generic], header: Header) -> NDArray[np.generic] | None:
    """Return the alpha plane, in the depth of the image, or None."""
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return pixels[:, :, 3]
    if pixels.ndim == 2 and header.transparent_grey is not None:
        opaque = np.iinfo(pixels.dtype).max  # type: ignore[type-var]
        return np.where(pixels == header.transparent_grey, 0, opaque).astype(pixels.dtype)
    return None


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # 257 is odd, so that no value lies half-way between two.
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_rgb(pixels: NDArray[np.uint8]) -> Pixels:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation; 5 to 8 swap width and height."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _checked_pixels(array: NDArray[np.generic], label: str) -> Pixels:
    if array.dtype != np.uint8:
        hint = (
            ": multiply values in [0, 1] by 255, round and convert"
            if array.dtype.kind == "f"
            else ""
        )
        raise ImageError(f"{label}: is a {array.dtype} array, expected uint8 RGB{hint}")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(
            f"{label}: is an array {list(array.shape)}, expected uint8 RGB [height, width, 3]"
        )
    if 0 in array.shape:
        raise ImageError(f"{label}: is an array {list(array.shape)}, which has no pixels")
    return array.view(np.uint8)


def _alphas_differ(first: Picture, second: Picture) -> bool:
    if first.alpha is None and second.alpha is None:
        return False
    if first.alpha is None or second.alpha is None or first.size != second.size:
        return True
    return not np.array_equal(first.alpha, second.alpha)


def _opposite(background: Colour) -> Colour:
    """Return black or white, whichever is farther from a background."""
    return BLACK if sum(background) > 3 * 127 else WHITE


def _fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize uint8 RGB to a width and height: sides shrink first, by area, then grow."""
    width, height = pixels.shape[1], pixels.shape[0]
    smaller = (min(width, size[0]), min(height, size[1]))
    if smaller != (width, height):
        pixels = np.asarray(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return pixels


def _name(colour: Colour) -> str:
    return {WHITE: "white", BLACK: "black"}.get(colour, f"RGB {colour}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
