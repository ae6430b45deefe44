"""Score any number of pairs: decoded by several threads, run in batches, in constant memory.

A pair that cannot be scored yields an error in its place; the others continue. Results come in
the order of the pairs. Batches depend only on the numbers of their pairs, so a run that resumes at
the start of a batch computes the same values as an uninterrupted one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison, new_cache
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.regions.measure import compare_regions
from dps_infer.compare.rule import Rule
from dps_infer.errors import ContextError, DpsError, UsageError
from dps_infer.images.decode import (
    DEFAULT_POLICY,
    DecodePolicy,
    ImageSource,
    Pair,
    Picture,
    load_picture,
    make_pair,
)
from dps_infer.images.ignored import Ignored
from dps_infer.runtime.threads import available_threads

if TYPE_CHECKING:
    from dps_infer.runtime.reference_cache import ReferenceCache

BATCH_SIZE = 16
"""Pairs per batch; larger ones run no faster. The images of one batch are held at a time."""

MAX_DECODERS = 8
"""Maximum default number of decoding threads; more would decode faster than a session computes."""

PIXELS_HELD = 1 << 25
"""Maximum reference pixels decoded ahead, and also the limit for pairs being run; each takes about
200 MB with the candidates."""

PairSource = (
    tuple[ImageSource, ImageSource] | tuple[ImageSource, ImageSource, Ignored | None] | DpsError
)
"""Reference and candidate, and parts of this pair to leave out; or the error that stands for a
pair."""


@dataclass(frozen=True)
class Scored:
    """The result of one pair.

    Attributes:
        index: the pair's number, counted from 0.
        comparisons: by the metrics' labels; empty if there is an error.
        error: one line if the pair could not be compared; else empty.
    """

    index: int
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    error: str = ""


def score(
    pairs: Iterable[PairSource],
    metrics: Mapping[str, Metric],
    *,
    resize: bool = False,
    policy: DecodePolicy = DEFAULT_POLICY,
    batch_size: int = BATCH_SIZE,
    decoders: int | None = None,
    with_map: bool = False,
    regions: Gate | None = None,
    ignored: Ignored | None = None,
) -> Iterator[Scored]:
    """Compare any number of pairs in one or more metrics.

    Contexts of one universal file (`Metric.in_context`) share what takes time: ten of them
    cost about as much as one, but for maps.

    Args:
        pairs: read only a little ahead of what is scored. Neighbours with the same reference
            (the same path, or the same object) decode it once, and where it pays
            (`dps_infer.runtime.reference_cache`) compute its features once.
        metrics: by label.
        resize: resize candidates to the size of their references.
        policy: what the decode policy (`dps_infer.images.decode`) leaves open.
        batch_size: pairs that are run at a time; those of one size share a run.
        decoders: threads that decode; None takes as many as this process has cores, up to
            `MAX_DECODERS`.
        with_map: compute the maps as well.
        regions: find the places that differ as well; thresholds apply to what it says.
        ignored: parts to leave out of every pair.

    Yields:
        One result a pair, in their order.

    Raises:
        UsageError: no context, or a number below 1. This and the next at
            once, not at the first result.
        ContextError: later, a context no longer works on any pair.
    """
    rule = Rule(metrics, regions=regions, ignored=ignored, resize=resize)
    return score_by_rules(
        ((pair, rule) for pair in pairs),
        [rule],
        policy=policy,
        batch_size=batch_size,
        decoders=decoders,
        with_map=with_map,
    )


def score_by_rules(
    pairs: Iterable[tuple[PairSource, Rule]],
    rules: Iterable[Rule],
    *,
    policy: DecodePolicy = DEFAULT_POLICY,
    batch_size: int = BATCH_SIZE,
    decoders: int | None = None,
    with_map: bool = False,
) -> Iterator[Scored]:
    """Compare any number of pairs, each by its own rule; see `score`.

    Args:
        pairs: with their rules. A batch ends where the rule changes, so pairs that share one are
            best neighbors.
        rules: all of them.
        policy: see `score`.
        batch_size: see `score`.
        decoders: see `score`.
        with_map: see `score`.
    """
    comparers = {rule: _Comparer(rule.metrics, with_map, rule.regions) for rule in rules}
    if not all(rule.metrics for rule in comparers):
        raise UsageError("expected at least one context")
    if batch_size < 1:
        raise UsageError(f"expected a batch size of at least 1, got {batch_size}")
    threads = min(available_threads(), MAX_DECODERS) if decoders is None else decoders
    if threads < 1:
        raise UsageError(f"expected at least 1 decoding thread, got {threads}")
    return _score(pairs, comparers, _Loader(policy, threads), batch_size)


def _score(
    pairs: Iterable[tuple[PairSource, Rule]],
    comparers: Mapping[Rule, _Comparer],
    loader: _Loader,
    batch_size: int,
) -> Iterator[Scored]:
    index = 0
    for rule, run in groupby(loader.load(pairs, ahead=2 * batch_size), key=itemgetter(1)):
        for group in _groups((pair for pair, _ in run), batch_size):
            sound = [pair for pair in group if isinstance(pair, Pair)]
            outcomes = iter(comparers[rule].compare(sound))
            for pair in group:
                outcome = next(outcomes) if isinstance(pair, Pair) else pair
                if isinstance(outcome, DpsError):
                    yield Scored(index, error=" ".join(str(outcome).split()))
                else:
                    yield Scored(index, outcome)
                index += 1


def _groups(decoded: Iterator[Pair | DpsError], batch_size: int) -> Iterator[list[Pair | DpsError]]:
    """Yield what is run at a time: a batch, or of large images a part of it."""
    for first in decoded:
        group: list[Pair | DpsError] = []
        pixels = 0
        for pair in chain([first], islice(decoded, batch_size - 1)):
            group.append(pair)
            pixels += _pixels(pair)
            if pixels >= PIXELS_HELD:
                yield group
                group, pixels = [], 0
        if group:
            yield group


class _Loader:
    """Decodes pairs ahead of their use, by several threads."""

    def __init__(self, policy: DecodePolicy, threads: int) -> None:
        self._policy = policy
        self._threads = threads

    def load(
        self, pairs: Iterable[tuple[PairSource, Rule]], *, ahead: int
    ) -> Iterator[tuple[Pair | DpsError, Rule]]:
        """Yield what the pairs are decoded to, or why they cannot be, in their order."""
        waiting: deque[tuple[Future[Pair | DpsError], Rule]] = deque()
        given: ImageSource | None = None
        reference: Future[Picture] | None = None
        pixels = 0
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dps-decode")
        try:
            for source, rule in pairs:
                if isinstance(source, DpsError):
                    waiting.append((_done(source), rule))
                else:
                    if reference is None or not _same(source[0], given):
                        given = source[0]
                        reference = pool.submit(self._picture, given, "reference")
                    own = source[2] if len(source) == 3 else None
                    pair = pool.submit(self._pair, reference, source[1], own, rule)
                    waiting.append((pair, rule))
                # What is not decoded yet is taken to be as large as what came last.
                while len(waiting) > max(1, min(ahead, PIXELS_HELD // max(1, pixels))):
                    first, its_rule = waiting.popleft()
                    result = first.result()
                    pixels = _pixels(result)
                    yield result, its_rule
            while waiting:
                first, its_rule = waiting.popleft()
                yield first.result(), its_rule
        finally:
            pool.shutdown(cancel_futures=True)

    def _picture(self, source: ImageSource, label: str) -> Picture:
        return load_picture(source, label=label, policy=self._policy)

    def _pair(
        self,
        reference: Future[Picture],
        candidate: ImageSource,
        ignored: Ignored | None,
        rule: Rule,
    ) -> Pair | DpsError:
        try:
            # It was submitted before, so that a thread is at it or done with it.
            first = reference.result()
            second = self._picture(candidate, "candidate")
            parts = rule.ignored if ignored is None else ignored | rule.ignored
            return make_pair(first, second, resize=rule.resize, policy=self._policy, ignored=parts)
        except DpsError as error:
            return error
        except MemoryError:
            return DpsError("not enough memory to decode it: use smaller images")


class _Comparer:
    """Compares decoded pairs in every context."""

    def __init__(self, metrics: Mapping[str, Metric], with_map: bool, regions: Gate | None) -> None:
        self._metrics = metrics
        self._regions = regions
        self._with_map = with_map
        self._cache: ReferenceCache | None = None

    def compare(self, pairs: list[Pair]) -> list[dict[str, Comparison] | DpsError]:
        """Return comparisons by label for each pair, or why there are none."""
        try:
            return [*self._compare(pairs)]
        except (ContextError, MemoryError):
            return [self._alone(pair) for pair in pairs]

    def _alone(self, pair: Pair) -> dict[str, Comparison] | DpsError:
        """Compare a pair of a batch that failed.

        Raises:
            ContextError: it is no fault of the pair: not even small black images work.
        """
        try:
            return self._compare([pair])[0]
        except MemoryError:
            return DpsError("not enough memory to compare it: use smaller images")
        except ContextError as error:
            black = np.zeros((64, 64, 3), np.uint8)
            self._compare([Pair(((black, black),), ())])
            return error

    def _compare(self, pairs: list[Pair]) -> list[dict[str, Comparison]]:
        if self._cache is None and len(pairs) > 1:
            self._cache = new_cache()
        return compare_in_all(
            pairs,
            self._metrics,
            with_map=self._with_map,
            regions=self._regions,
            cache=self._cache,
        )


def _done(error: DpsError) -> Future[Pair | DpsError]:
    future: Future[Pair | DpsError] = Future()
    future.set_result(error)
    return future


def _same(one: ImageSource, other: ImageSource | None) -> bool:
    """Whether two sources are the same image for sure."""
    if one is other:
        return True
    if isinstance(one, (str, os.PathLike)) and isinstance(other, (str, os.PathLike)):
        return os.fspath(one) == os.fspath(other)
    return False


def _pixels(result: Pair | DpsError) -> int:
    return 0 if isinstance(result, DpsError) else result.renderings[0][0].size // 3


def compare_in_all(
    pairs: Sequence[Pair],
    metrics: Mapping[str, Metric],
    *,
    with_map: bool = False,
    regions: Gate | None = None,
    cache: ReferenceCache | None = None,
) -> list[dict[str, Comparison]]:
    """Compare decoded pairs in several contexts; those of one universal file run it once.

    Args:
        pairs: of any sizes.
        metrics: by label.
        with_map: compute the maps as well; takes a run per context.
        regions: find the places that differ as well; thresholds apply to what it says.
        cache: hand the same to the next call if its pairs may have the same reference.

    Returns:
        One dictionary per pair, by label; each comparison equals that of
        `Metric.compare_pairs` in its context alone.
    """
    groups: list[list[str]] = []
    for label, metric in metrics.items():
        sharing = (group for group in groups if metrics[group[0]].shares_runs_with(metric))
        group = next(sharing, None)
        if group is None:
            groups.append([label])
        else:
            group.append(label)
    found: dict[str, list[Comparison]] = {}
    for labels in groups:
        weightings = [metrics[label].weighting for label in labels]
        runner = metrics[labels[0]].runner
        compared = compare_regions(
            pairs, runner, weightings, with_map=with_map, regions=regions, cache=cache
        )
        found.update(zip(labels, compared, strict=True))
    return [{label: found[label][index] for label in metrics} for index in range(len(pairs))]
