"""Large images in bands of tiles, combined by the same rules as in the graph of a context file.

The graph itself cuts an image into tiles and combines their amounts, but its memory grows with
the pixels. So a large image is cut into bands here, rows of tiles, which go through the graph as
images of their own.

When the whole image has moved, corresponding tiles show different content, and every amount of
a tile rises. The whole view estimates the motion best. So tiles are weighted down as the
estimated motion grows, and the shift that remains in them, as small as a pixel, is converted
from a fraction of a tile to a fraction of the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Floats, Pixels
from dps_infer.model.contract import TILES, output_name
from dps_infer.model.manifest import DistortionInfo, Views
from dps_infer.model.view import View

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceFeatures

LAYOUT = (
    "ceil(height / tile) rows of ceil(width / tile) tiles; the first pixel of row i of n is at "
    "floor(i * max(height - tile, 0) / max(n - 1, 1)), likewise across; beyond an image smaller "
    "than a tile its last row and column are repeated"
)
AGGREGATION = "the cube root of the mean of the cubes over all tiles, per amount"
MOTIONS = ("rotate", "translate", "zoom")

FAINT, FULL = 0.02, 0.1
"""Motion as a fraction of a tile's side: tiles count fully up to the first, not at all from the
second."""

TRUST = 2.0
"""Factor on the shift that tiles report: they see motion that is too small for the whole view."""

EVEN = 0.05
"""Added to amounts of motion before they are compared."""

LARGEST = 4.0
"""Amounts are clipped to this before they are converted to strengths."""

RULE = (
    "t is freed of motion first. S(a) is the strength that an amount a stands for (a = log(1 + "
    "S / threshold) / log(1 + reference / threshold), a at most 4), n = max(1, sqrt(height * "
    "width) / tile). Motion in tiles: m = max(n * (S(w_translate) + S(w_rotate) * pi / 360 + "
    "S(w_zoom) / 4), 2 * S(t_translate)); s = (m - 0.02) / 0.08 within 0 and 1. t_translate "
    "becomes the amount of S(t_translate) / n, times 1 - s + s * (w_translate + 0.05) / "
    "(max(w_rotate, w_translate, w_zoom) + 0.05); t_rotate and t_zoom become 0; the others are "
    "multiplied by 1 - s"
)

BOTH = (
    f"{RULE}. Then the larger of whole and tiles, per amount; but of `other`, each view counts "
    "only what is beyond the amounts that the other view names and it does not: other_w - sum "
    "over k of max(t_k - w_k, 0) and other_t - sum over k of max(w_k - t_k, 0), no less than 0"
)

Outputs = dict[str, NDArray[Any]]


class Run(Protocol):
    """Runs a graph, as `dps_infer.runtime.engine.Engine.run` does."""

    def __call__(
        self,
        fetches: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
        *,
        cached: ReferenceFeatures | None,
    ) -> Outputs:
        """Compute the named outputs."""
        ...


def known(views: Views) -> bool:
    """Return whether a file states the rules that this module implements."""
    return (views.layout, views.aggregation, views.both) == (LAYOUT, AGGREGATION, BOTH)


def starts(length: int, tile: int) -> list[int]:
    """Return the first pixel of each tile along a side; see `LAYOUT`.

    >>> starts(200, 64)
    [0, 45, 90, 136]
    """
    count = -(-length // tile)
    return [i * max(length - tile, 0) // max(count - 1, 1) for i in range(count)]


def aggregate(tiles: Floats) -> Floats:
    """Return the amounts [N, K + 1] of images from those of their tiles [N, rows, columns, K + 1].

    A change everywhere keeps its amount. A change in a tenth of the tiles keeps nearly half of
    it; the mean would keep a tenth, and the maximum all of it.
    """
    amounts: Floats = np.cbrt(np.mean(tiles**3, axis=(1, 2)))
    return amounts


def combine(whole: Floats, tiles: Floats, across: float, motions: Motions | None) -> Floats:
    """Return the amounts [N, K + 1] of the view ``both``; see `BOTH`.

    A locally darkened region does not register as darkening in the whole view. The view that
    names a change explains the `other` of the view that cannot name it.

    Args:
        whole: amounts of the whole image [N, K + 1].
        tiles: aggregated amounts of its tiles [N, K + 1].
        across: see `tiles_across`.
        motions: the amounts that are of motion, if any.
    """
    tiles = without_motion(whole, tiles, across, motions)
    more = tiles[:, :-1] - whole[:, :-1]
    other_whole = whole[:, -1] - np.maximum(more, 0).sum(axis=1)
    other_tiles = tiles[:, -1] - np.maximum(-more, 0).sum(axis=1)
    other = np.maximum(np.maximum(other_whole, other_tiles), 0)
    named = np.maximum(whole[:, :-1], tiles[:, :-1])
    return np.concatenate([named, other[:, None]], axis=1)


@dataclass(frozen=True)
class Motions:
    """The amounts of motion among all amounts; in the order of `MOTIONS`.

    Attributes:
        columns: their indices.
        thresholds: see `DistortionInfo`.
        references: see `DistortionInfo`.
    """

    columns: tuple[int, ...]
    thresholds: tuple[float, ...]
    references: tuple[float, ...]


def motions(amounts: Sequence[str], distortions: Sequence[DistortionInfo]) -> Motions | None:
    """Return the amounts of motion; None for a metric that does not report them all."""
    if not set(MOTIONS) <= set(amounts):
        return None
    by_name = {distortion.name: distortion for distortion in distortions}
    return Motions(
        tuple(list(amounts).index(name) for name in MOTIONS),
        tuple(by_name[name].threshold for name in MOTIONS),
        tuple(by_name[name].reference for name in MOTIONS),
    )


def without_motion(whole: Floats, tiles: Floats, across: float, among: Motions | None) -> Floats:
    """Return the amounts of tiles [N, K + 1], corrected for motion by `RULE`.

    Args:
        whole: amounts of the whole image [N, K + 1].
        tiles: aggregated amounts of its tiles [N, K + 1].
        across: number of tiles along a side: the root of the number that cover the image, >= 1.
        among: the amounts that are of motion; None leaves `tiles` unchanged.
    """
    if among is None:
        return tiles
    _, shift, _ = among.columns
    turn, moved, enlarged = (_strength(whole, number, among) for number in range(3))
    own = _strength(tiles, 1, among)
    motion = np.maximum(across * (moved + turn * (np.pi / 360) + enlarged / 4), TRUST * own)
    fade = np.clip((motion - FAINT) / (FULL - FAINT), 0, 1)[:, None]
    result = tiles * (1 - fade)
    largest = whole[:, list(among.columns)].max(axis=1)
    share = (whole[:, shift] + EVEN) / (largest + EVEN)
    result[:, list(among.columns)] = 0
    result[:, shift] = _amount(own / across, among) * (1 - fade[:, 0] * (1 - share))
    freed: Floats = result.astype(np.float32)
    return freed


def _strength(amounts: Floats, number: int, among: Motions) -> Floats:
    threshold, reference = among.thresholds[number], among.references[number]
    column = np.minimum(amounts[:, among.columns[number]], LARGEST)
    strength: Floats = threshold * np.expm1(column * np.log1p(reference / threshold))
    return strength


def _amount(strength: Floats, among: Motions) -> Floats:
    threshold, reference = among.thresholds[1], among.references[1]
    amount: Floats = np.log1p(strength / threshold) / np.log1p(reference / threshold)
    return amount


def tiles_across(height: int, width: int, tile: int) -> float:
    """Return the tiles along a side: the root of the number that cover the image, >= 1."""
    return max(1.0, math.sqrt(height * width) / tile)


def run_in_bands(
    run: Run,
    feeds: Mapping[str, NDArray[Any]],
    cached: ReferenceFeatures | None,
    *,
    tile: int,
    motions: Motions | None,
    view: View,
    importances: Floats,
    with_map: bool,
    band_pixels: int,
) -> Outputs:
    """Run a graph in bands, in a view with tiles.

    Args:
        run: the graph.
        feeds: its inputs.
        cached: features of the reference, if it is one for all.
        tile: side of a tile in pixels.
        motions: the amounts that are of motion, if any.
        view: ``tiles`` or ``both``.
        importances: the context [K + 1].
        with_map: compute the map as well.
        band_pixels: pixels of the distorted image that go through the graph at a time.

    Returns:
        The outputs of the view by their names in the graph, as the graph would give them.
    """
    fetches = [TILES, output_name("map", View.tiles)] if with_map else [TILES]
    reference, distorted = feeds["reference"], feeds["distorted"]
    tiles, places = [], []
    for number, candidate in enumerate(distorted):
        bands, maps = [], []
        pairs = _bands(reference[min(number, len(reference) - 1)], candidate, tile, band_pixels)
        for band, (one, other) in enumerate(pairs):
            outputs = run(
                fetches,
                {**feeds, "reference": one, "distorted": other},
                cached=None if cached is None else cached.part(band),
            )
            bands.append(outputs[TILES][:, 0])
            if with_map:
                maps.append(_unscaled(outputs[fetches[1]], np.sqrt(bands[-1] @ importances)))
        tiles.append(np.concatenate(bands))
        places.extend([np.concatenate(maps)] if with_map else [])
    together = np.stack(tiles)
    amounts = aggregate(together)
    if view is View.both:
        name = output_name("amounts", View.whole)
        _, height, width, _ = distorted.shape
        across = tiles_across(height, width, tile)
        amounts = combine(run([name], feeds, cached=cached)[name], amounts, across, motions)
    distances = amounts @ importances
    result: Outputs = {
        output_name("distance", view): distances,
        output_name("amounts", view): amounts,
        TILES: together,
    }
    if with_map:
        result[output_name("map", view)] = _with_mean(np.stack(places), distances)
    return result


def _bands(
    reference: Pixels, distorted: Pixels, tile: int, band_pixels: int
) -> Iterator[tuple[Pixels, Pixels]]:
    """Cut two images into bands of rows of tiles: uint8 [rows, tile, W, 3] each."""
    height, width, _ = distorted.shape
    rows = starts(height, tile)
    at_once = max(1, band_pixels // (tile * width))
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        yield (
            np.stack([reference[row : row + tile] for row in some]),
            np.stack([distorted[row : row + tile] for row in some]),
        )


def _unscaled(maps: Floats, per_tile: Floats) -> Floats:
    """Return the maps of bands [rows, h, w], stacked and scaled to the mean of their tiles."""
    return np.concatenate(list(_with_mean(maps, per_tile.mean(axis=1))))


def _with_mean(maps: Floats, means: Floats) -> Floats:
    """Scale maps [N, h, w] to means [N]; an empty map becomes even."""
    present = maps.mean(axis=(1, 2))
    factor = np.divide(means, present, out=np.zeros_like(means), where=present > 0)
    scaled: Floats = np.where(
        (present > 0)[:, None, None], maps * factor[:, None, None], means[:, None, None]
    )
    return scaled
