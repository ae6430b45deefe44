"""Agreement with people's judgements, scored as LPIPS scores it (Zhang et al. 2018).

Any distance can be scored: a metric in torch, or a context file through onnxruntime
(``lambda first, second: context.measure(first, second).distance``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dps_infer.arrays import Pixels
from dps_infer.errors import DataError
from dps_train.judgements.bapps import SamePairs, read_bapps
from dps_train.judgements.triplets import Triplets, pixel_batches

BATCH = 64

DistanceFunction = Callable[[Pixels, Pixels], ArrayLike]
"""From two batches uint8 RGB [N, H, W, 3] to distances [N]; higher means more different."""


@dataclass(frozen=True)
class BappsScores:
    """Scores in [0, 1] by split: `two_afc_agreement`, `jnd_score`, and their means."""

    two_afc: dict[str, float]
    two_afc_mean: float | None
    jnd: dict[str, float]
    jnd_mean: float | None

    @classmethod
    def of(cls, two_afc: dict[str, float], jnd: dict[str, float]) -> BappsScores:
        """Return the scores of splits with their means."""
        return cls(two_afc, _mean(two_afc), jnd, _mean(jnd))


def two_afc_agreement(d0: ArrayLike, d1: ArrayLike, judge: ArrayLike) -> float:
    """Return the mean share of people who chose as the distance does.

    A triplet scores 1 - judge if the distance finds p0 closer, and judge if it finds p1 closer.
    Equal distances score 0.5, whatever people answered, as in LPIPS's scorer.

    Args:
        d0: distances of p0 to the reference [N].
        d1: distances of p1 to the reference [N].
        judge: share of people who chose p1 [N].
    """
    return float(np.mean(two_afc_scores(d0, d1, judge)))


def two_afc_scores(d0: ArrayLike, d1: ArrayLike, judge: ArrayLike) -> NDArray[np.float64]:
    """Return the score of each triplet [N], with the arguments of `two_afc_agreement`."""
    first, second, share = _vectors(d0, d1, judge)
    return (first < second) * (1 - share) + (second < first) * share + (first == second) * 0.5


def jnd_score(distances: ArrayLike, same: ArrayLike) -> float:
    """Return the area under the precision envelope of pairs, sorted by distance (mAP).

    Pairs up to some distance count as the same. Precision and recall weigh a pair by the share of
    people who found it the same; the envelope is the highest precision at this recall or a higher
    one. Equal distances keep their order, as in LPIPS's scorer.

    Raises:
        DataError: nobody found any pair the same, so recall is undefined.
    """
    ranked, share = _vectors(distances, same)
    share = share[np.argsort(ranked, kind="stable")]
    if not share.any():
        raise DataError(["nobody found any pair the same: recall is undefined, expected some"])
    found = np.cumsum(share)
    precision = found / (found + np.cumsum(1 - share))
    recall = found / (found + (np.sum(share) - found))
    envelope = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], recall, [1.0]]))
    # Leaving out empty steps only changes the rounding, which then equals LPIPS's.
    risen = steps != 0
    return float(np.sum(steps[risen] * envelope[risen]))


def score_triplets(triplets: Triplets, distance: DistanceFunction, batch: int = BATCH) -> float:
    """Return a distance's `two_afc_agreement` on triplets, each at its own size.

    Raises:
        ImageError: an image cannot be read, or the sizes in a triplet differ.
    """
    columns = (triplets.reference, triplets.p0, triplets.p1)
    d0, d1 = _distances(columns, distance, batch)
    return two_afc_agreement(d0, d1, triplets.judge)


def score_pairs(pairs: SamePairs, distance: DistanceFunction, batch: int = BATCH) -> float:
    """Return a distance's `jnd_score` on pairs, each at its own size; see `score_triplets`."""
    (distances,) = _distances((pairs.p0, pairs.p1), distance, batch)
    return jnd_score(distances, pairs.same)


def score_bapps(folder: Path, distance: DistanceFunction, batch: int = BATCH) -> BappsScores:
    """Score a distance on BAPPS's validation part: 2AFC and JND, split by split.

    Raises as `read_bapps`, `score_triplets` and `jnd_score`.
    """
    bapps = read_bapps(folder)
    two_afc = {
        name: score_triplets(split, distance, batch) for name, split in bapps.two_afc.items()
    }
    jnd = {name: score_pairs(split, distance, batch) for name, split in bapps.jnd.items()}
    return BappsScores.of(two_afc, jnd)


def _distances(
    columns: Sequence[Sequence[Path]], distance: DistanceFunction, batch: int
) -> list[NDArray[np.float64]]:
    """Return the distances from the first column to each of the others."""
    batches = [
        [np.asarray(distance(reference, other)) for other in others]
        for reference, *others in pixel_batches(columns, batch)
    ]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _mean(scores: dict[str, float]) -> float | None:
    return float(np.mean(list(scores.values()))) if scores else None


def _vectors(*values: ArrayLike) -> list[NDArray[np.float64]]:
    """Return vectors of equal length: broadcasting would silently score something else."""
    vectors = [np.asarray(value, dtype=np.float64) for value in values]
    shapes = {vector.shape for vector in vectors}
    if len(shapes) > 1 or vectors[0].ndim != 1 or not vectors[0].size:
        raise ValueError(f"expected vectors of one length, at least 1, got the shapes {shapes}")
    return vectors
