"""Compare decoded pairs in one context, or in several of the same file.

The amounts that a universal file reports for a pair do not depend on the context, only their
importances do. So distances are computed from the amounts here, and the network runs once for
any number of contexts. That holds for a single context as well: a distance does not depend on
what else was asked for. It agrees with the graph's own to 1e-6 of itself.

Maps take one run per context: the graph draws them with the importances that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dps_infer.arrays import Floats, Pixels
from dps_infer.compare.runner import GraphRunner
from dps_infer.contexts.ranking import OTHER, SIZE
from dps_infer.images.decode import Pair
from dps_infer.model.anchors import Anchor, Scale, anchor
from dps_infer.model.calibration import percentiles
from dps_infer.model.contract import Measurement
from dps_infer.model.manifest import Calibration

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceCache

PIXELS_PER_RUN = 1 << 17
"""Pixels of all images in a run, except for a shared reference. Memory follows the pixels and not
the number of images, and more would not fit a processor's cache."""

PIXELS_PER_RUN_ON_CUDA = 1 << 20
"""Pixels per run on CUDA, where small runs are dominated by launch overhead."""

_Rendering = tuple[int, Pixels, Pixels]
"""The number of a pair, and one of its renderings: reference and candidate."""


@dataclass(frozen=True)
class Region:
    """A place in which two images differ.

    Attributes:
        x: left edge in pixels of the reference.
        y: upper edge.
        width: in pixels.
        height: in pixels.
        share: of the image that the box takes, in (0, 1].
        comparison: of the place alone, as if it were the whole image: cut out of both images with
            a margin (`dps_infer.compare.regions`).
    """

    x: int
    y: int
    width: int
    height: int
    share: float
    comparison: Comparison

    @property
    def distance(self) -> float:
        """The distance of the place."""
        return self.comparison.distance

    @property
    def kind(self) -> str | None:
        """The kind of change that contributes most; None if the file names none.

        If the context sees no difference, it is the kind that there is most of.
        """
        for numbers in (self.comparison.parts, self.comparison.amounts):
            if any(numbers.values()):
                return max(numbers, key=numbers.__getitem__)
        return None


@dataclass(frozen=True)
class Comparison:
    """How different two images are, and why.

    Attributes:
        distance: >= 0; 0 for identical images; larger means more different.
        amounts: per kind of change and ``other``, how much of it the pair shows (0 none, 1 a
            strong change); empty if the context file has none.
        parts: per kind and ``other``, what it contributes; they add up to `distance`. Empty if
            `amounts` is.
        percentiles: per calibrated distortion, the share in [0, 1] of its calibration
            draws whose distance is smaller, interpolated.
        identical: no pixel of the two images differs.
        notes: how the images were converted before they were compared, for people.
        provider: the onnxruntime execution provider that computed it.
        size: the general distance, in which all kinds of change count alike; None if the context
            file names no kinds.
        strengths: per kind that the pair shows, its strength in the kind's unit, for kinds that
            have one and whose strength is known: not of one that only some parts show.
        directions: per kind that the pair shows and that has two directions, from -1 to 1; see
            `DistortionInfo.directions`.
        anchors: well-known changes that are about as different.
        map: where the distance comes from, float32 [H', W'], if it was asked for; the
            manifest's `map` states its relation to `distance`.
        cells: float32 [rows, columns, K], how much of the difference in each cell is of each kind,
            in the order of `amounts`, if the map was asked for and the file names kinds.
        ignored: the share of the image that was left out, in [0, 1).
        regions: the places that differ, the largest distance first, if they were asked for.
        by_worst: thresholds apply to the worst place (`gated`).
    """

    distance: float
    amounts: dict[str, float]
    parts: dict[str, float]
    percentiles: dict[str, float]
    identical: bool
    notes: tuple[str, ...]
    provider: str
    size: float | None = None
    strengths: dict[str, float] = field(default_factory=dict)
    directions: dict[str, float] = field(default_factory=dict)
    anchors: tuple[Anchor, ...] = ()
    map: Floats | None = field(default=None, compare=False, repr=False)
    cells: Floats | None = field(default=None, compare=False, repr=False)
    ignored: float = 0.0
    regions: tuple[Region, ...] | None = None
    by_worst: bool = False

    @property
    def gated(self) -> float:
        """What thresholds apply to: the distance, or with `by_worst` that of the worst place.

        The whole image counts as a place too.
        """
        places = self.regions if self.by_worst and self.regions else ()
        return max([self.distance, *(region.distance for region in places)])


@dataclass(frozen=True)
class Weighting:
    """A context as measurements need it.

    Attributes:
        importances: one number per amount, in their order.
        calibration: quantiles of the distance in this context.
        scales: well-known changes in this context.
    """

    importances: Mapping[str, float]
    calibration: Calibration
    scales: tuple[Scale, ...] = ()


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
        with_map: compute maps and cells as well; takes a run per context.
        alone: see `dps_infer.runtime.engine.Engine.run`.
        cache: from `new_cache`; hand the same to the next call if its pairs may have the same
            reference.

    Returns:
        For each context its comparisons, one per pair.
    """
    if cache is None and len(pairs) > 1:
        cache = new_cache()
    by_shape: dict[tuple[int, ...], list[_Rendering]] = {}
    for index, pair in enumerate(pairs):
        for reference, candidate in pair.renderings:
            by_shape.setdefault(reference.shape, []).append((index, reference, candidate))
    farthest: list[dict[int, Comparison]] = [{} for _ in weightings]
    for renderings in by_shape.values():
        for run in _runs(renderings, on_cuda=runner.on_cuda):
            measured = _measure(
                run, runner, weightings, with_map=with_map, alone=alone, cache=cache
            )
            for weighting, measurement, kept in zip(weightings, measured, farthest, strict=True):
                for row, (index, _, _) in enumerate(run.renderings):
                    comparison = _comparison(runner, weighting, measurement, row, pairs[index])
                    if index not in kept or comparison.distance > kept[index].distance:
                        kept[index] = comparison
    return [[kept[index] for index in range(len(pairs))] for kept in farthest]


def new_cache() -> ReferenceCache:
    """Return an empty cache of reference features; a single pair does not load its module."""
    from dps_infer.runtime.reference_cache import ReferenceCache

    return ReferenceCache()


def _runs(renderings: list[_Rendering], *, on_cuda: bool) -> Iterator[_Run]:
    """Split renderings of one size into runs."""
    height, width, _ = renderings[0][1].shape
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
                with_map=with_map,
                alone=alone,
                cached=cached,
            )
        else:
            measurement = runner.weigh(measurement, weighting.importances)
        yield measurement


def _comparison(
    runner: GraphRunner, weighting: Weighting, measurement: Measurement, row: int, pair: Pair
) -> Comparison:
    metric = runner.manifest.metric
    distance = float(measurement.distances[row])
    identical = pair.identical
    if identical:
        runner.check_identical(distance, weighting.importances)
    amounts: dict[str, float] = {}
    if measurement.amounts is not None:
        amounts = dict(zip(metric.amounts, measurement.amounts[row].tolist(), strict=True))
    size = amounts.pop(SIZE, None)
    shown = {kind.name: kind for kind in metric.distortions if amounts.get(kind.name)}
    strengths = _by_name(amounts, measurement.strengths, row)
    directions = _by_name(amounts, measurement.directions, row)
    return Comparison(
        distance=distance,
        amounts=amounts,
        parts=_parts(amounts, size, weighting.importances),
        percentiles=percentiles(distance, weighting.calibration),
        identical=identical,
        notes=pair.notes,
        provider=runner.provider,
        size=size,
        strengths={n: strengths[n] for n, kind in shown.items() if kind.unit and strengths.get(n)},
        directions={
            n: directions[n] for n, kind in shown.items() if directions and kind.directions
        },
        anchors=tuple(anchor(distance, scale) for scale in weighting.scales),
        map=None if measurement.maps is None else measurement.maps[row],
        cells=None if measurement.cells is None else measurement.cells[row],
        ignored=0.0 if pair.ignored is None else float(pair.ignored.mean()),
    )


def _by_name(names: Iterable[str], values: Floats | None, row: int) -> dict[str, float]:
    return {} if values is None else dict(zip(names, values[row].tolist(), strict=True))


def _parts(
    amounts: Mapping[str, float], size: float | None, importances: Mapping[str, float]
) -> dict[str, float]:
    """Return what each kind contributes to a distance.

    The size itself, where it counts, is shared among the kinds that it is made of; one that is
    made of none is of another kind.
    """
    parts = {name: importances.get(name, 0.0) * amount for name, amount in amounts.items()}
    general = importances.get(SIZE, 0.0) * (size or 0.0)
    total = sum(amounts.values())
    if general and total:
        parts = {name: part + general * amounts[name] / total for name, part in parts.items()}
    elif general:
        parts[OTHER] += general
    return parts
