"""How tiles lie on an image, and how what they show is put together: the contract in numbers.

A context file does all this inside its graph, where memory follows the pixels. An image
of more than `BAND_PIXELS` is cut into bands here, each a row of tiles, which go through the graph
as images of their own; the rules below put their tiles together as the graph would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dps_infer.compare.motion import RULE, Motions, without_motion
from dps_infer.model.contract import TILES, output_name
from dps_infer.model.manifest import Views
from dps_infer.model.view import View
from dps_infer.runtime.reference_cache import Remembered

LAYOUT = (
    "ceil(height / tile) rows of ceil(width / tile) tiles; the first pixel of row i of n is at "
    "floor(i * max(height - tile, 0) / max(n - 1, 1)), likewise across; beyond an image smaller "
    "than a tile its last row and column are repeated"
)
AGGREGATION = "the cube root of the mean of the cubes over all tiles, per amount"
BOTH = (
    f"{RULE}. Then the larger of whole and tiles, per amount; but of `other`, each view counts "
    "only what is beyond the amounts that the other view names and it does not: other_w - sum "
    "over k of max(t_k - w_k, 0) and other_t - sum over k of max(w_k - t_k, 0), no less than 0"
)

BAND_PIXELS = 1 << 17
"""Of the distorted image that go through the graph at a time."""

Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]


class Run(Protocol):
    """Runs a graph, as `dps_infer.runtime.engine.Engine.run` does."""

    def __call__(
        self,
        fetches: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
        *,
        remembered: Remembered | None,
    ) -> Outputs:
        """Compute the named outputs."""
        ...


def known(views: Views) -> bool:
    """Return whether a file's rules are those of this module."""
    return (views.layout, views.aggregation, views.both) == (LAYOUT, AGGREGATION, BOTH)


def starts(length: int, tile: int) -> list[int]:
    """Return the first pixel of each tile along a side; see `LAYOUT`.

    >>> starts(200, 64)
    [0, 45, 90, 136]
    """
    count = -(-length // tile)
    return [i * max(length - tile, 0) // max(count - 1, 1) for i in range(count)]


def aggregate(tiles: Floats) -> Floats:
    """Return amounts [N, K + 1] for those of tiles [N, rows, columns, K + 1].

    A change everywhere keeps its amount; one in a tenth of the tiles keeps nearly half of
    it, where a mean would keep a tenth and a maximum would not tell it from one everywhere.
    """
    amounts: Floats = np.cbrt(np.mean(tiles**3, axis=(1, 2)))
    return amounts


def combine(whole: Floats, tiles: Floats, across: float, motions: Motions | None) -> Floats:
    """Return amounts [N, K + 1] for both views together; see `BOTH`.

    To the whole, a part that is darker is no darkening. The view that can name a change
    explains what the other one cannot.

    Args:
        whole: amounts of the whole image [N, K + 1].
        tiles: those of its tiles, put together [N, K + 1].
        across: see `tiles_across`.
        motions: which amounts are of motion, if any.
    """
    tiles = without_motion(whole, tiles, across, motions)
    more = tiles[:, :-1] - whole[:, :-1]
    other_whole = whole[:, -1] - np.maximum(more, 0).sum(axis=1)
    other_tiles = tiles[:, -1] - np.maximum(-more, 0).sum(axis=1)
    other = np.maximum(np.maximum(other_whole, other_tiles), 0)
    named = np.maximum(whole[:, :-1], tiles[:, :-1])
    return np.concatenate([named, other[:, None]], axis=1)


def tiles_across(height: int, width: int, tile: int) -> float:
    """Return how many tiles lie along a side, as the root of how many cover the image; >= 1."""
    return max(1.0, math.sqrt(height * width) / tile)


def run_in_bands(
    run: Run,
    feeds: Mapping[str, NDArray[Any]],
    remembered: Remembered | None,
    *,
    tile: int,
    motions: Motions | None,
    view: View,
    importances: Floats,
    with_map: bool,
) -> Outputs:
    """Run a graph on images that are too large for it at once, in a view with tiles.

    Args:
        run: the graph.
        feeds: its inputs.
        remembered: what was computed of the reference, if it is one for all.
        tile: side of a tile in pixels.
        motions: which amounts are of motion, if any.
        view: ``tiles`` or ``both``.
        importances: of the context [K + 1].
        with_map: compute the map as well.

    Returns:
        The outputs of the view by their names in the graph, as the graph would give them.
    """
    fetches = [TILES, output_name("map", View.tiles)] if with_map else [TILES]
    reference, distorted = feeds["reference"], feeds["distorted"]
    tiles, places = [], []
    for number, candidate in enumerate(distorted):
        bands, maps = [], []
        pairs = _bands(reference[min(number, len(reference) - 1)], candidate, tile)
        for band, (one, other) in enumerate(pairs):
            outputs = run(
                fetches,
                {**feeds, "reference": one, "distorted": other},
                remembered=None if remembered is None else remembered.part(band),
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
        amounts = combine(run([name], feeds, remembered=remembered)[name], amounts, across, motions)
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
    reference: NDArray[np.uint8], distorted: NDArray[np.uint8], tile: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Cut two images into rows of tiles, some at a time: uint8 [rows, tile, W, 3] each."""
    height, width, _ = distorted.shape
    rows = starts(height, tile)
    at_once = max(1, BAND_PIXELS // (tile * width))
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        yield (
            np.stack([reference[row : row + tile] for row in some]),
            np.stack([distorted[row : row + tile] for row in some]),
        )


def _unscaled(maps: Floats, per_tile: Floats) -> Floats:
    """Return maps [rows, h, w] of bands, stacked, with the mean of what their tiles show."""
    return np.concatenate(list(_with_mean(maps, per_tile.mean(axis=1))))


def _with_mean(maps: Floats, means: Floats) -> Floats:
    """Scale maps [N, h, w] to means [N]; where nothing shows, all cells share alike."""
    present = maps.mean(axis=(1, 2))
    factor = np.divide(means, present, out=np.zeros_like(means), where=present > 0)
    scaled: Floats = np.where(
        (present > 0)[:, None, None], maps * factor[:, None, None], means[:, None, None]
    )
    return scaled
