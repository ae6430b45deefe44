"""The places in which two images differ, each measured by itself.

`dps_infer.compare.regions.boxes` finds the boxes. Each is cut out of both images, with `MARGIN`
pixels around it and at least `SMALLEST` pixels a side, and compared like a pair of images. So the
distance of a place means the same as that of an image: a blur of sigma 3 in a hundredth of an image
is as far there as in an image that is blurred all over, and cannot hide in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dps_infer.arrays import Floats
from dps_infer.compare.pairs import Comparison, Region, Weighting, compare_pairs
from dps_infer.compare.regions.boxes import WIDE, Box, difference, find_boxes, outstanding, window
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.runner import GraphRunner
from dps_infer.images.decode import Pair

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceCache

MARGIN = 8
"""Pixels around a place that are compared with it."""

SMALLEST = 64
"""Shortest side of what is compared, in pixels: one cell of the embedded metric."""


def compare_regions(
    pairs: Sequence[Pair],
    runner: GraphRunner,
    weightings: Sequence[Weighting],
    *,
    with_map: bool = False,
    regions: Gate | None = None,
    alone: bool = True,
    cache: ReferenceCache | None = None,
) -> list[list[Comparison]]:
    """Compare pairs, and the places in which they differ.

    Args:
        pairs: see `dps_infer.compare.pairs.compare_pairs`, and for the arguments not named here.
        runner: the opened context file.
        weightings: the contexts.
        with_map: keep maps and cells.
        regions: find the places that differ; thresholds apply to what it says. None finds none.
        alone: see `compare_pairs`.
        cache: see `compare_pairs`.

    Returns:
        For each context its comparisons, one per pair.
    """
    # Places that stand out are found in maps.
    needs_map = with_map or (regions is not None and runner.has_output("map"))
    compared = compare_pairs(
        pairs, runner, weightings, with_map=needs_map, alone=alone, cache=cache
    )
    if regions is None:
        return compared
    found: list[list[Comparison]] = [[] for _ in weightings]
    for number, pair in enumerate(pairs):
        whole = [comparisons[number] for comparisons in compared]
        boxes = [] if pair.identical else _boxes(pair, [one.map for one in whole])
        places = _measure(pair, boxes, runner, weightings, whole)
        for comparisons, one, own in zip(found, whole, places, strict=True):
            more = replace(one, regions=own, by_worst=regions is Gate.worst)
            comparisons.append(more if with_map else replace(more, map=None, cells=None))
    return found


def _boxes(pair: Pair, maps: Sequence[Floats | None]) -> list[Box]:
    """Return the boxes of a pair: those of pixels, and in wide ones what stands out in a map."""
    height, width, _ = pair.renderings[0][0].shape
    differs = difference(pair.renderings)
    boxes = find_boxes(differs)
    wide = [box for box in boxes if box.area > WIDE * height * width]
    more = [
        place
        for box in wide
        for local in maps
        if local is not None
        for place in outstanding(local, box, (height, width))
        if differs[place.slices()].any()
    ]
    return list(dict.fromkeys([*boxes, *more]))


def _measure(
    pair: Pair,
    boxes: Sequence[Box],
    runner: GraphRunner,
    weightings: Sequence[Weighting],
    whole: Sequence[Comparison],
) -> list[tuple[Region, ...]]:
    """Return the regions of a pair in each context, the largest distance first."""
    height, width, _ = pair.renderings[0][0].shape
    everything = Box(0, 0, width, height)
    windows = {box: window(box, (height, width), margin=MARGIN, smallest=SMALLEST) for box in boxes}
    cut = [place for place in dict.fromkeys(windows.values()) if place != everything]
    found = compare_pairs([_cut(pair, place) for place in cut], runner, weightings) if cut else []
    measured = []
    for number, one in enumerate(whole):
        own = dict(zip(cut, found[number], strict=True)) if cut else {}
        own[everything] = replace(one, map=None, cells=None)
        regions = [
            Region(*box, share=box.area / everything.area, comparison=own[windows[box]])
            for box in boxes
        ]
        measured.append(tuple(sorted(regions, key=lambda region: -region.distance)))
    return measured


def _cut(pair: Pair, box: Box) -> Pair:
    place = box.slices()
    renderings = tuple((first[place], second[place]) for first, second in pair.renderings)
    return Pair(renderings, ())
