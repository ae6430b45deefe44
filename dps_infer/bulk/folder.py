"""Score pairs of files, keep the worst of them, and sum up the rest."""

from __future__ import annotations

import heapq
import os
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from statistics import median

from dps_infer.bulk.folder_pairs import FolderPair
from dps_infer.bulk.results import CANDIDATE, REFERENCE, open_results, row
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.stream import BATCH_SIZE, score
from dps_infer.files.tables import Row
from dps_infer.model.view import View
from dps_infer.show.table import Spread, Thresholds, is_above

Progress = Callable[[int, int], None]
"""Is told how many pairs are done, and of how many."""


@dataclass(frozen=True)
class PairScore:
    """What became of one pair.

    Attributes:
        pair: the two files.
        comparisons: by the contexts' labels; empty if there is an error.
        error: why it was not compared, in one line; else empty.
    """

    pair: FolderPair
    comparisons: dict[str, Comparison]
    error: str = ""


@dataclass(frozen=True)
class FolderScores:
    """What all pairs came to.

    Attributes:
        pairs: how many there were.
        compared: how many have distances.
        identical: of `compared`, in how many no pixel differs.
        spreads: the distances, by the contexts' labels.
        worst: the pairs with the largest distances in the first context, the largest first.
        failed: the pairs that were not compared, in their order.
        above: whether any distance is above its threshold.
    """

    pairs: int
    compared: int
    identical: int
    spreads: dict[str, Spread]
    worst: tuple[PairScore, ...]
    failed: tuple[PairScore, ...]
    above: bool


def score_folder(
    pairs: Iterable[FolderPair],
    count: int,
    metrics: Mapping[str, Metric],
    *,
    view: View | str | None = None,
    resize: bool = False,
    thresholds: Thresholds | None = None,
    worst: int | None = None,
    output: str | os.PathLike[str] | None = None,
    force: bool = False,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> FolderScores:
    """Compare pairs of files, in memory that follows `worst` and the failed ones.

    Args:
        pairs: from `dps_infer.bulk.folder_pairs`.
        count: how many they are.
        metrics: by label.
        view: as in `Metric.compare`.
        resize: resize candidates to the size of their references.
        thresholds: by label.
        worst: how many pairs to keep; None for all.
        output: a file for all results (`dps_infer.bulk.results`), told by its suffix.
        force: replace `output` if it exists.
        batch_size: as in `dps_infer.compare.stream.score`.
        progress: is told of each batch.

    Raises:
        UsageError: an unknown suffix of `output`, no context, or an unknown view.
        OutputError: `output` exists, or cannot be written.
        ContextError: as in `dps_infer.compare.stream.score`.
    """
    tally = _Tally(metrics, thresholds or {}, worst)
    named, sources = tee(pairs)
    opened = (
        nullcontext(_ignore) if output is None else open_results(Path(output), metrics, force=force)
    )
    with opened as write:
        scores = score(
            (pair.source for pair in sources),
            metrics,
            view=view,
            resize=resize,
            batch_size=batch_size,
        )
        for pair, scored in zip(named, scores, strict=True):
            tally.add(PairScore(pair, scored.comparisons, scored.error))
            names = {REFERENCE: _text(pair.reference), CANDIDATE: _text(pair.candidate)}
            write({**names, **row(scored.comparisons, metrics, error=scored.error)})
            if progress is not None and (tally.pairs % batch_size == 0 or tally.pairs == count):
                progress(tally.pairs, count)
    return tally.result()


class _Tally:
    """Counts pairs, and keeps no more of them than it must."""

    def __init__(
        self, metrics: Mapping[str, Metric], thresholds: Thresholds, worst: int | None
    ) -> None:
        self.pairs = 0
        self._thresholds = thresholds
        self._worst = worst
        self._first = next(iter(metrics), "")
        self._distances = {label: array("d") for label in metrics}
        self._identical = 0
        self._above = False
        # Smallest first, and of equal distances the last pair: what is to go when there are more.
        self._kept: list[tuple[float, int, PairScore]] = []
        self._failed: list[PairScore] = []

    def add(self, scored: PairScore) -> None:
        self.pairs += 1
        if scored.error:
            self._failed.append(scored)
            return
        for label, comparison in scored.comparisons.items():
            self._distances[label].append(comparison.distance)
        first = scored.comparisons[self._first]
        self._identical += first.identical
        self._above = self._above or is_above(scored.comparisons, self._thresholds)
        heapq.heappush(self._kept, (first.distance, -self.pairs, scored))
        if self._worst is not None and len(self._kept) > self._worst:
            heapq.heappop(self._kept)

    def result(self) -> FolderScores:
        return FolderScores(
            pairs=self.pairs,
            compared=self.pairs - len(self._failed),
            identical=self._identical,
            spreads={label: self._spread(label) for label in self._distances},
            worst=tuple(scored for _, _, scored in sorted(self._kept, reverse=True)),
            failed=tuple(self._failed),
            above=self._above,
        )

    def _spread(self, label: str) -> Spread:
        distances, threshold = self._distances[label], self._thresholds.get(label)
        return Spread(
            median=median(distances) if distances else None,
            largest=max(distances, default=None),
            above=None if threshold is None else sum(d > threshold for d in distances),
        )


def _ignore(_row: Row) -> None:
    pass


def _text(path: Path) -> str:
    """Write a path for a table, whose text is UTF-8; names of files may be any bytes."""
    return os.fsencode(path).decode(errors="backslashreplace")
