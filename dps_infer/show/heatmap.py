"""Heat maps: pictures of where two images differ, or of the amount of one distortion.

The scale is fixed, so that a color means the same in every picture: a local distance d has the
color at d / (d + `MIDDLE`) of the way from the first color (no difference) to the last one
(unbounded). Local distances are in the units of the context: their mean over the image is the
distance of the pair. The colors are OpenCV's inferno, whose lightness grows evenly. An overlay
lays them over the candidate in gray, more opaque for larger distances, so that nothing covers the
image where it does not differ.

    comparison = metric.compare(reference, candidate, with_map=True)
    picture = draw_map(comparison, metric, candidate)
    save_picture(picture, Path("heat.png"))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.errors import ContextError, OutputError, UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.images.fill import Mask
from dps_infer.show.regions import draw_boxes, hatch

MIDDLE = 0.5
"""The local distance, or amount, whose color is in the middle of the scale."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

TICKS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
LEGEND_END = 12.0
"""The local distance at the end of the color bar; colors beyond are nearly the same."""
LEGEND_HEIGHT, LEGEND_WIDTH = 44, 200
"""In pixels; a narrower picture gets a margin."""

INK = (40, 40, 40)
PAPER = 255
PLACES = 8
"""Places of a map along each side of a cell."""

MAX_OPACITY = 0.75
"""Opacity of an overlay at the end of the scale."""


def draw_map(
    comparison: Comparison,
    metric: Metric,
    image: Pixels,
    *,
    part: str | None = None,
    overlay: bool = False,
    legend: bool = False,
    ignored: Mask | None = None,
    boxes: bool = True,
) -> Pixels:
    """Draw where two images differ, at their own size.

    Args:
        comparison: made with ``with_map=True``.
        metric: the metric that made it.
        image: the candidate as it was compared, uint8 RGB [H, W, 3].
        part: draw how much of the difference in each cell is of this kind (or ``other``),
            regardless of its importance, instead of the local distance.
        overlay: lay the colors over the image in gray.
        legend: put a color bar with numbers below.
        ignored: [H, W], True where pixels are left out (`Pair.ignored`); they are hatched.
        boxes: draw the boxes of `Comparison.regions`, if it has any; never with `part`.

    Returns:
        uint8 RGB [H, W, 3]; with a legend, higher, and wider if W is below `LEGEND_WIDTH`.

    Raises:
        UsageError: the comparison has no map, no cells, or no such part.
        ContextError: the map of the context file has an invalid value.
    """
    height, width = image.shape[:2]
    local = local_values(comparison, metric, (height, width), part=part)
    picture = paint(local, over=image if overlay else None)
    if ignored is not None:
        hatch(picture, ignored)
    # Regions differ in the distance: on the map of a part they would mislead.
    if boxes and part is None:
        draw_boxes(picture, comparison.regions or (), (height, width))
    if legend:
        title = "local distance" if part is None else f"difference by {part}"
        picture = _with_legend(picture, title)
    return picture


def local_values(
    comparison: Comparison,
    metric: Metric,
    size: tuple[int, int],
    *,
    part: str | None = None,
) -> Floats:
    """Return the local distances, or those of a part, at the size of the image.

    The mean of the local distances is the distance of the pair.

    Args:
        comparison: made with ``with_map=True``.
        metric: the metric that made it, which knows the size of cells.
        size: height and width of the images in pixels.
        part: see `draw_map`.

    Returns:
        float32 [H, W] >= 0.

    Raises:
        UsageError: the comparison has no map, no cells, or no such part.
        ContextError: the map of the context file has an invalid value.
    """
    if comparison.map is None:
        raise UsageError("the comparison has no map: compare with with_map=True")
    values = comparison.map if part is None else _of_part(comparison, part)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ContextError(
            f"{metric.path}: gave a map with a value that is not a finite number >= 0, which no "
            "context file may: export the context again"
        )
    cell = metric.manifest.cell
    if cell is not None and part is None:
        cell //= PLACES
    rows = _cell_weights(values.shape[0], size[0], cell)
    columns = _cell_weights(values.shape[1], size[1], cell)
    local = np.asarray(rows @ values @ columns.T, np.float32)
    mean = float(local.mean())
    # Cells may reach beyond the image: without this, the mean over the image would be too large.
    if part is None and mean > 0:
        local *= np.float32(comparison.distance / mean)
    return local


def paint(local: Floats, *, over: Pixels | None = None) -> Pixels:
    """Color local distances on the fixed scale of this module.

    Args:
        local: float32 [H, W] >= 0.
        over: an image, uint8 RGB [H, W, 3], to lay the colors over in gray.

    Returns:
        uint8 RGB [H, W, 3].
    """
    share = along_scale(local)
    levels = np.rint(share * 255).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    if over is None:
        return np.asarray(colors, np.uint8)
    gray = cv2.cvtColor(over, cv2.COLOR_RGB2GRAY)[:, :, None]
    opacity = MAX_OPACITY * share[:, :, None]
    return np.asarray(np.rint(gray * (1 - opacity) + colors * opacity), np.uint8)


def along_scale(local: Floats | np.float32) -> Floats:
    """Return the position of local distances on the scale, in [0, 1)."""
    return np.asarray(local / (local + MIDDLE), np.float32)


def check_picture(path: Path, *, force: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse a path that no picture can be written to, before any long work.

    Args:
        path: the picture to write.
        force: accept an existing file.
        inputs: files that are never replaced.

    Raises:
        OutputError: the suffix is not one of `PICTURE_SUFFIXES`, or `path` cannot be written.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise OutputError(
            f"cannot write {path}: expected a name that ends in {', '.join(PICTURE_SUFFIXES)}"
        )
    check_output(path, force=force, inputs=inputs)


def save_picture(picture: Pixels, path: Path, *, force: bool = False) -> None:
    """Write a picture, whole or not at all, in the format of the suffix.

    Args:
        picture: uint8 RGB [H, W, 3].
        path: see `PICTURE_SUFFIXES`; its folder is made.
        force: replace an existing file.

    Raises:
        OutputError: see `check_picture`; or the format cannot hold a picture of this size.
    """
    check_picture(path, force=force)
    with atomic_file(path, force=force) as temporary:
        try:
            done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        except cv2.error:
            done = False
        if not done:
            height, width = picture.shape[:2]
            raise OutputError(f"cannot write {path}: {width}x{height} is too large, use .png")
        temporary.write_bytes(data.tobytes())


def _of_part(comparison: Comparison, part: str) -> Floats:
    if comparison.cells is None:
        raise UsageError(
            f"how much of a difference is {part} is not known in parts of an image: the context "
            "file names no kinds of change"
        )
    names = list(comparison.amounts)
    if part not in names:
        raise UsageError(f"unknown part {part!r}: expected one of {', '.join(names)}")
    return comparison.cells[:, :, names.index(part)]


def _cell_weights(cells: int, length: int, side: int | None) -> Floats:
    """Return the weight of each cell of a map for each pixel of a line [length, cells].

    A pixel takes the mean of the cells around it, weighted by a Gaussian with a standard
    deviation of half a cell: smooth, without overshoot, and equal cells stay equal. Cells have
    `side` pixels, the last may reach beyond the image; None divides the image evenly.
    """
    cell = length / cells if side is None else side
    centers = (np.arange(cells) + 0.5) * cell
    pixels = np.arange(length) + 0.5
    steps = (pixels[:, None] - centers[None, :]) / (cell / 2)
    # The nearest cell always counts: far from every center, all weights would round to zero.
    exponents = -(steps**2) / 2
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    normalized: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalized


def _with_legend(picture: Pixels, title: str) -> Pixels:
    """Put a color bar below a picture."""
    height, width = picture.shape[:2]
    total = max(width, LEGEND_WIDTH)
    canvas = np.full((height + LEGEND_HEIGHT, total, 3), PAPER, np.uint8)
    canvas[:height, :width] = picture
    end = float(along_scale(np.float32(LEGEND_END)))
    share = np.linspace(0, end, total, dtype=np.float32)
    canvas[height + 2 : height + 12] = paint((MIDDLE * share / (1 - share))[None, :])
    free = 0
    for tick in TICKS:
        place = round(float(along_scale(np.float32(tick))) / end * (total - 1))
        text = f"{tick:g}"
        (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)
        left = min(max(place - length // 2, 2), total - length - 2)
        if left < free:
            continue
        free = left + length + 6
        canvas[height + 12 : height + 15, place] = INK
        _write(canvas, text, (left, height + 26))
    _write(canvas, title, (2, height + 40))
    return canvas


def _write(canvas: Pixels, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
