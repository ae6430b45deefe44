"""Compare decoded pairs in one context, or in several of the same file.

The amounts that a universal file reports for a pair do not depend on the context, only their
importances do. So distances are computed from the amounts here, and the network runs once for
any number of contexts. That holds for a single context as well: a distance does not depend on
what else was asked for. It agrees with the graph's own to 1e-6 of itself.

Maps take one run per context: the graph draws them with the importances that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_infer.compare.runner import GraphRunner
from dps_infer.images.decode import Pair
from dps_infer.model.calibration import percentiles
from dps_infer.model.contract import Measurement
from dps_infer.model.manifest import Calibration
from dps_infer.model.view import View

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceCache

PIXELS_PER_RUN = 1 << 17
"""Pixels of all images that go through tiles at a time, except for a shared reference. Tiles keep
an image's own resolution, so memory follows the pixels and not the number of images. More would
not fit a processor's cache: a large network takes a fifteenth longer with twice as many."""

PIXELS_PER_RUN_ON_CUDA = 1 << 20
"""Pixels per run on CUDA, where small runs are dominated by launch overhead."""

_Rendering = tuple[int, Pixels, Pixels]
"""The number of a pair, and one of its renderings: reference and candidate."""


@dataclass(frozen=True)
class Comparison:
    """How different two images are, and why.

    Attributes:
        distance: >= 0; 0 for identical images; larger means more different.
        amounts: per distortion and ``other``, how much of it the pair shows (0 none, 1 the
            distortion's reference strength); empty if the context file has none.
        parts: per distortion and ``other``, importance times amount; they add up to
            `distance`. Empty if `amounts` is.
        percentiles: per calibrated distortion, the share in [0, 1] of its calibration
            draws whose distance is smaller, interpolated.
        identical: no pixel of the two images differs.
        notes: how the images were converted before they were compared, for people.
        provider: the onnxruntime execution provider that computed it.
        view: the view of the images; None for a file without views.
        map: where the distance comes from, float32 [H', W'], if it was asked for; the
            manifest's `map` states its relation to `distance`.
        tiles: float32 [TH, TW, K+1], the amounts of each tile, in the order of `amounts`, if
            the map was asked for and the view has tiles.
    """

    distance: float
    amounts: dict[str, float]
    parts: dict[str, float]
    percentiles: dict[str, float]
    identical: bool
    notes: tuple[str, ...]
    provider: str
    view: str | None = None
    map: Floats | None = field(default=None, compare=False, repr=False)
    tiles: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Weighting:
    """A context as measurements need it.

    Attributes:
        importances: one number per amount, in their order.
        calibration: quantiles of the distance in this context.
    """

    importances: Mapping[str, float]
    calibration: Calibration


@dataclass(frozen=True)
class _Run:
    """Renderings of one size that go through the graph together.

    Attributes:
        renderings: the renderings.
        candidates: how many candidates their one reference has, in this run and others; 1 if
            each rendering has its own reference.
    """

    renderings: list[_Rendering]
    candidates: int


def compare_pairs(
    pairs: Sequence[Pair],
    runner: GraphRunner,
    weightings: Sequence[Weighting],
    *,
    view: View | str | None = None,
    with_map: bool = False,
    alone: bool = True,
    cache: ReferenceCache | None = None,
) -> list[list[Comparison]]:
    """Compare pairs; those of one size share a run.

    Args:
        pairs: of any sizes. Pairs whose references are the same array compute its features
            once a run, and where it pays (`dps_infer.runtime.reference_cache`) once for all runs.
        runner: the opened context file.
        weightings: the contexts, at least one; a plain file has one.
        view: see `GraphRunner.choose_view`.
        with_map: compute maps and tiles as well; takes a run per context.
        alone: see `dps_infer.runtime.engine.Engine.run`.
        cache: from `new_cache`; hand the same to the next call if its pairs may have the same
            reference.

    Returns:
        For each context its comparisons, one per pair.
    """
    chosen = runner.choose_view(view)
    if cache is None and len(pairs) > 1:
        cache = new_cache()
    by_shape: dict[tuple[int, ...], list[_Rendering]] = {}
    for index, pair in enumerate(pairs):
        for reference, candidate in pair.renderings:
            by_shape.setdefault(reference.shape, []).append((index, reference, candidate))
    farthest: list[dict[int, Comparison]] = [{} for _ in weightings]
    for renderings in by_shape.values():
        for run in _runs(renderings, chosen, on_cuda=runner.on_cuda):
            measured = _measure(
                run, runner, weightings, chosen, with_map=with_map, alone=alone, cache=cache
            )
            for weighting, measurement, kept in zip(weightings, measured, farthest, strict=True):
                for row, (index, _, _) in enumerate(run.renderings):
                    comparison = _comparison(
                        runner, weighting, measurement, row, pairs[index], chosen
                    )
                    if index not in kept or comparison.distance > kept[index].distance:
                        kept[index] = comparison
    return [[kept[index] for index in range(len(pairs))] for kept in farthest]


def new_cache() -> ReferenceCache:
    """Return an empty cache of reference features; a single pair does not load its module."""
    from dps_infer.runtime.reference_cache import ReferenceCache

    return ReferenceCache()


def _runs(renderings: list[_Rendering], view: View | None, *, on_cuda: bool) -> Iterator[_Run]:
    """Split renderings of one size into runs."""
    height, width, _ = renderings[0][1].shape
    images = 2 * len(renderings)
    if view in (View.tiles, View.both):
        images = (PIXELS_PER_RUN_ON_CUDA if on_cuda else PIXELS_PER_RUN) // (height * width)
    by_reference: dict[int, list[_Rendering]] = {}
    for rendering in renderings:
        by_reference.setdefault(id(rendering[1]), []).append(rendering)
    # A reference with several candidates has runs of its own, which share its features.
    several = [group for group in by_reference.values() if len(group) > 1]
    single = [group[0] for group in by_reference.values() if len(group) == 1]
    for group in (*several, single):
        candidates = 1 if group is single else len(group)
        most = max(1, images // 2 if group is single else images)
        for start in range(0, len(group), most):
            yield _Run(group[start : start + most], candidates)


def _measure(
    run: _Run,
    runner: GraphRunner,
    weightings: Sequence[Weighting],
    view: View | None,
    *,
    with_map: bool,
    alone: bool,
    cache: ReferenceCache | None,
) -> Iterator[Measurement]:
    """Yield the measurement of a run in each context."""
    different = run.renderings[: 1 if run.candidates > 1 else None]
    references = np.stack([reference for _, reference, _ in different])
    candidates = np.stack([candidate for _, _, candidate in run.renderings])
    reference = run.renderings[0][1]
    cached = None if cache is None else cache.features_of(reference, run.candidates)
    measurement: Measurement | None = None
    for weighting in weightings:
        if measurement is None or with_map:
            measurement = runner.measure(
                references,
                candidates,
                weighting.importances,
                view=view,
                with_map=with_map,
                alone=alone,
                cached=cached,
            )
        else:
            measurement = runner.weigh(measurement, weighting.importances)
        yield measurement


def _comparison(
    runner: GraphRunner,
    weighting: Weighting,
    measurement: Measurement,
    row: int,
    pair: Pair,
    view: View | None,
) -> Comparison:
    importances = weighting.importances
    distance = float(measurement.distances[row])
    identical = pair.identical
    if identical:
        runner.check_identical(distance, importances)
    amounts: dict[str, float] = {}
    if measurement.amounts is not None:
        amounts = dict(zip(importances, measurement.amounts[row].tolist(), strict=True))
    return Comparison(
        distance=distance,
        amounts=amounts,
        parts={name: importances[name] * amount for name, amount in amounts.items()},
        percentiles=percentiles(distance, weighting.calibration),
        identical=identical,
        notes=pair.notes,
        provider=runner.provider,
        view=None if view is None else view.value,
        map=None if measurement.maps is None else measurement.maps[row],
        tiles=None if measurement.tiles is None else measurement.tiles[row],
    )
