"""Score pairs of files from folders; keep the worst of them and a summary of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count as count_from
from pathlib import Path

from dps_infer.bulk.folder_pairs import FolderPair
from dps_infer.bulk.results import CANDIDATE, REFERENCE, open_results, row
from dps_infer.bulk.rule import RuleOf, score_by_rule
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.rule import Rule
from dps_infer.compare.stream import BATCH_SIZE
from dps_infer.compare.summary import Spread, Tally, Thresholds, any_above
from dps_infer.images.ignored import Ignored
from dps_infer.progress import Progress, ignore


@dataclass(frozen=True)
class PairScore:
    """The outcome of one pair.

    Attributes:
        pair: the two files.
        comparisons: by the labels of the metrics; empty if there is an error.
        error: the reason, in one line, why the pair was not compared; else empty.
        thresholds: that apply to the pair, by label.
    """

    pair: FolderPair
    comparisons: dict[str, Comparison]
    error: str = ""
    thresholds: Thresholds = field(default_factory=dict)

    @property
    def above(self) -> bool:
        """Whether any distance is above its threshold."""
        return any_above([self.comparisons], self.thresholds)


@dataclass(frozen=True)
class FolderScores:
    """The outcome of all pairs.

    Attributes:
        pairs: number of pairs.
        compared: number of pairs with distances.
        identical: number of compared pairs in which no pixel differs.
        spreads: the spread of the distances, by the labels of the metrics.
        worst: the pairs with the largest distances in the first metric, the largest first; if
            thresholds differ, see `dps_infer.compare.summary.Tally.worst`.
        failed: the pairs that were not compared, in their order.
    """

    pairs: int
    compared: int
    identical: int
    spreads: dict[str, Spread]
    worst: tuple[PairScore, ...]
    failed: tuple[PairScore, ...]

    @property
    def above(self) -> bool:
        """Whether any distance is above its threshold."""
        return any(spread.above for spread in self.spreads.values())


def score_folder(
    pairs: Iterable[FolderPair],
    count: int,
    metrics: Mapping[str, Metric],
    *,
    resize: bool = False,
    regions: Gate | None = None,
    ignored: Ignored | None = None,
    thresholds: Thresholds | None = None,
    worst: int | None = None,
    output: str | os.PathLike[str] | None = None,
    force: bool = False,
    escape_formulas: bool = False,
    batch_size: int = BATCH_SIZE,
    progress: Progress = ignore,
    rules: Collection[Rule] = (),
    rule_of: RuleOf | None = None,
    on_scored: Callable[[PairScore], None] = lambda scored: None,
) -> FolderScores:
    """Compare pairs of files. Memory grows with `worst` and the number of failed pairs.

    Args:
        pairs: from `dps_infer.bulk.folder_pairs`.
        count: number of pairs.
        metrics: by label; with `rules`, those of all of them.
        resize: resize candidates to the size of their references.
        regions: see `dps_infer.compare.stream.score`.
        ignored: parts to leave out of every pair.
        thresholds: by label.
        worst: number of pairs to keep; None keeps all.
        output: a file for all results (`dps_infer.bulk.results`); its suffix selects the format.
        force: replace an existing `output`.
        escape_formulas: see `dps_infer.files.tables.open_table`.
        batch_size: see `dps_infer.compare.stream.score`.
        progress: called after every batch with the number of pairs done and their total.
        rules: all rules of the pairs, in place of `resize`, `regions`, `ignored` and
            `thresholds`; of several, `rule_of` chooses.
        rule_of: returns the rule of a pair.
        on_scored: called with every pair, in their order.

    Raises:
        UsageError: an unknown suffix of `output`, or no metric.
        OutputError: `output` exists or cannot be written.
        ContextError: see `dps_infer.compare.stream.score`.
    """
    tally: Tally[PairScore] = Tally(metrics, worst=worst)
    failed: list[PairScore] = []
    done = count_from(1)

    def on_done() -> None:
        number = next(done)
        if number % batch_size == 0 or number == count:
            progress(number, count)

    rules = rules or [Rule(metrics, thresholds or {}, regions, ignored, resize)]
    first = next(iter(rules))
    results = (
        nullcontext(None)
        if output is None
        else open_results(Path(output), metrics, force=force, escape_formulas=escape_formulas)
    )
    with results as write:
        for pair, rule, scored in score_by_rule(
            pairs, rules, rule_of or (lambda pair: first), batch_size=batch_size, on_done=on_done
        ):
            outcome = PairScore(pair, scored.comparisons, scored.error, rule.thresholds)
            if scored.error:
                failed.append(outcome)
            else:
                tally.add(outcome, scored.comparisons, thresholds=rule.thresholds)
            if write is not None:
                names = {REFERENCE: _text(pair.reference), CANDIDATE: _text(pair.candidate)}
                write({**names, **row(scored.comparisons, metrics, error=scored.error)})
            on_scored(outcome)
    return FolderScores(
        pairs=tally.compared + len(failed),
        compared=tally.compared,
        identical=tally.identical,
        spreads=tally.spreads(),
        worst=tally.worst(),
        failed=tuple(failed),
    )


def _text(path: Path) -> str:
    """Return a path as UTF-8 text for a table; names of files may be arbitrary bytes."""
    return os.fsencode(path).decode(errors="backslashreplace")
