"""One reference against many candidates, in one context or several."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.stream import BATCH_SIZE, score
from dps_infer.errors import ImageError
from dps_infer.images.decode import DEFAULT_POLICY, DecodePolicy, ImageSource
from dps_infer.images.ignored import Ignored


@dataclass(frozen=True)
class Ranked:
    """A candidate in its place.

    Attributes:
        rank: 1 for the closest; candidates at the same distance share a rank.
        index: the candidate's number as it was given, counted from 0.
        comparisons: by the metrics' labels.
    """

    rank: int
    index: int
    comparisons: dict[str, Comparison]


def compare_candidates(
    reference: ImageSource,
    candidates: Iterable[ImageSource],
    metrics: Mapping[str, Metric],
    *,
    resize: bool = False,
    with_map: bool = False,
    regions: Gate | None = None,
    ignored: Ignored | None = None,
    batch_size: int = BATCH_SIZE,
    policy: DecodePolicy = DEFAULT_POLICY,
) -> list[dict[str, Comparison]]:
    """Compare one reference, decoded once, with many candidates.

    Args:
        reference: a path, an encoded image, an array, or another form of `ImageSource`.
        candidates: likewise, of the same size.
        metrics: by label.
        resize: as in `Metric.compare`.
        with_map: as in `Metric.compare`.
        regions: as in `dps_infer.compare.stream.score`.
        ignored: as in `dps_infer.compare.stream.score`.
        batch_size: candidates that are held and run at a time, with the reference's features
            computed once.
        policy: as in `Metric.compare`.

    Returns:
        The comparisons by the metrics' labels, one dictionary a candidate, in their order.

    Raises:
        ImageError: an image cannot be used, or the sizes differ.
        ContextError: as in `Metric.compare`.
        UsageError: no context, or a batch size below 1.
    """
    results = []
    for scored in score(
        ((reference, candidate) for candidate in candidates),
        metrics,
        resize=resize,
        with_map=with_map,
        regions=regions,
        ignored=ignored,
        batch_size=batch_size,
        policy=policy,
    ):
        if scored.error:
            raise ImageError(scored.error)
        results.append(scored.comparisons)
    return results


def rank_candidates(
    reference: ImageSource,
    candidates: Iterable[ImageSource],
    metrics: Mapping[str, Metric],
    *,
    resize: bool = False,
    ignored: Ignored | None = None,
    batch_size: int = BATCH_SIZE,
    policy: DecodePolicy = DEFAULT_POLICY,
) -> list[Ranked]:
    """Order candidates by their distance from a reference in the first context.

    See `compare_candidates` for the arguments and the errors.

    Returns:
        The closest first; at equal distances, in the order that they were given.
    """
    results = compare_candidates(
        reference,
        candidates,
        metrics,
        resize=resize,
        ignored=ignored,
        batch_size=batch_size,
        policy=policy,
    )
    first = next(iter(metrics))
    distances = [comparisons[first].distance for comparisons in results]
    order = sorted(range(len(results)), key=distances.__getitem__)
    ordered = sorted(distances)
    return [Ranked(bisect_left(ordered, distances[i]) + 1, i, results[i]) for i in order]
