"""Small pictures of images, encoded for a page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError
from dps_infer.images.decode import DEFAULT_POLICY, composite, load_picture
from dps_infer.runtime.threads import available_threads

QUALITY = 80
"""WebP quality of thumbnails, 0 to 100: they are for recognition, not for measurement."""

PREVIEW_QUALITY = 90


@dataclass(frozen=True)
class Embedded:
    """An image as a page holds it.

    Attributes:
        thumbnail: a data URL; None if the image cannot be shown.
        preview: the data URL of a larger picture; None if none was asked for, or the thumbnail
            has the size of the image.
        width: of the image itself, in pixels; 0 if it cannot be shown.
        height: of the image itself, in pixels; 0 if it cannot be shown.
        why: the reason why it cannot be shown; empty if it can.
        exact: the preview has the size of the image, and every pixel of it.
    """

    thumbnail: str | None
    preview: str | None
    width: int
    height: int
    why: str
    exact: bool = False


def find_image(name: str, folders: Sequence[Path]) -> Path:
    """Return the path of an image in the first folder that has it, or else in the first folder."""
    paths = [folder / name for folder in folders]
    return next((path for path in paths if _exists(path)), paths[0])


def embed_all(
    paths: Mapping[str, Path],
    *,
    thumbnail: int,
    preview: int,
    large: Collection[str],
    on_done: Callable[[], None],
) -> dict[str, Embedded]:
    """Return the small pictures of many images, decoded by several threads.

    Args:
        paths: by the names of the images in the results.
        thumbnail: longest side in pixels.
        preview: longest side of the larger pictures.
        large: the names of the images that get a larger picture.
        on_done: called after each image.
    """

    def embed_one(name: str) -> Embedded:
        if not name:
            return Embedded(None, None, 0, 0, "the results name none")
        size = preview if name in large else None
        return embed(paths[name], thumbnail=thumbnail, preview=size)

    embedded = {}
    with ThreadPoolExecutor(available_threads()) as pool:
        for name, image in zip(paths, pool.map(embed_one, paths), strict=True):
            embedded[name] = image
            on_done()
    return embedded


def keep_exact(
    embedded: dict[str, Embedded],
    paths: Mapping[str, Path],
    order: Iterable[tuple[str, str]],
    room: int,
) -> None:
    """Replace previews by the images themselves, while there is room.

    Args:
        embedded: the small pictures, by name; changed in place.
        paths: by name.
        order: the pairs, the most important first. The first one that does not fit ends it, so
            that no pair is passed over for a less important one.
        room: bytes of the page for all of them.
    """
    for pair in order:
        wanted = [name for name in dict.fromkeys(pair) if _unkept(embedded[name])]
        # Few images become smaller than a tenth of their pixels, and encoding more takes long.
        if sum(embedded[name].width * embedded[name].height * 3 for name in wanted) > 10 * room:
            return
        found = {name: data_url(_pixels(paths[name]), lossless=True) for name in wanted}
        room -= sum(map(len, found.values()))
        if room < 0:
            return
        for name, url in found.items():
            embedded[name] = replace(embedded[name], preview=url, exact=True)


def _unkept(image: Embedded) -> bool:
    return image.thumbnail is not None and not image.exact


def embed(path: Path, *, thumbnail: int, preview: int | None = None) -> Embedded:
    """Decode an image once and make its small pictures.

    Args:
        path: the image; it is decoded by the policy of `dps_infer.images.decode`, over white. An
            error does not contain the path, which may be private.
        thumbnail: longest side in pixels.
        preview: longest side of the larger picture; None makes none.
    """
    try:
        pixels = _pixels(path)
    except ImageError as error:
        return Embedded(None, None, 0, 0, str(error).removeprefix(f"{path}: "))
    height, width = pixels.shape[:2]
    larger = None
    if preview is not None and max(width, height) > thumbnail:
        larger = data_url(shrink(pixels, preview), PREVIEW_QUALITY)
    return Embedded(data_url(shrink(pixels, thumbnail), QUALITY), larger, width, height, "")


def _pixels(path: Path) -> Pixels:
    return composite(load_picture(path, label="image"), DEFAULT_POLICY.background)


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """Return uint8 RGB with a longest side of at most this many pixels; never enlarged."""
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def data_url(pixels: Pixels, quality: int = PREVIEW_QUALITY, *, lossless: bool = False) -> str:
    """Encode uint8 RGB pixels in a data URL: as WebP, or without loss as PNG.

    PNG is larger than lossless WebP by half, and thirty times as fast.
    """
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    kind, how = ("png", []) if lossless else ("webp", [cv2.IMWRITE_WEBP_QUALITY, quality])
    done, data = cv2.imencode(f".{kind}", bgr, how)
    if not done:
        raise ImageError(f"OpenCV cannot write {kind}: install opencv-python-headless from PyPI")
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # Names in a table are arbitrary: too long for a path, or with a null character.
        return False
