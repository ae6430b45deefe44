"""How a pair is compared and judged, and pairs that are compared by different rules.

Pairs with the same rule are run together, so that batches are as full as those of one rule for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, tee

from dps_infer.bulk.folder_pairs import FolderPair
from dps_infer.compare.metric import Metric
from dps_infer.compare.regions.gate import Gate
from dps_infer.compare.stream import BATCH_SIZE, Scored, score
from dps_infer.compare.summary import Thresholds
from dps_infer.images.ignored import Ignored

WINDOW = 1024
"""Pairs that are held at a time, to run those with the same rule together."""


@dataclass(frozen=True, eq=False)
class Rule:
    """How a pair is compared and judged; use one object for all pairs that share it.

    Attributes:
        metrics: by label, at least one. The label of a metric is the same in all rules.
        thresholds: the largest distances to accept, by label.
        regions: find the places that differ as well; thresholds apply to what it says.
        ignored: parts to leave out.
        resize: resize the candidate to the size of the reference.
    """

    metrics: Mapping[str, Metric]
    thresholds: Thresholds = field(default_factory=dict)
    regions: Gate | None = None
    ignored: Ignored | None = None
    resize: bool = False


RuleOf = Callable[[FolderPair], Rule]


def score_by_rule(
    pairs: Iterable[FolderPair],
    rule_of: Rule | RuleOf,
    *,
    batch_size: int = BATCH_SIZE,
    on_done: Callable[[], None] = lambda: None,
) -> Iterator[tuple[FolderPair, Rule, Scored]]:
    """Compare pairs, each by its rule; memory does not grow with their number.

    Args:
        pairs: read at most `WINDOW` ahead of what is compared.
        rule_of: the rule of all pairs, or a function that returns the rule of each.
        batch_size: see `dps_infer.compare.stream.score`.
        on_done: called after every pair.

    Yields:
        The pairs in their order, each with its rule and its result.

    Raises:
        UsageError: see `dps_infer.compare.stream.score`.
        ContextError: see `dps_infer.compare.stream.score`.
    """
    if isinstance(rule_of, Rule):
        named, compared = tee(pairs)
        results = _score(compared, rule_of, batch_size)
        for pair, scored in zip(named, results, strict=True):
            on_done()
            yield pair, rule_of, scored
        return
    left = iter(pairs)
    while window := list(islice(left, WINDOW)):
        numbers: dict[Rule, list[int]] = {}
        for number, pair in enumerate(window):
            numbers.setdefault(rule_of(pair), []).append(number)
        found: dict[int, tuple[Rule, Scored]] = {}
        for rule, own in numbers.items():
            results = _score((window[number] for number in own), rule, batch_size)
            for number, scored in zip(own, results, strict=True):
                on_done()
                found[number] = (rule, scored)
        for number, pair in enumerate(window):
            yield (pair, *found.pop(number))


def _score(pairs: Iterable[FolderPair], rule: Rule, batch_size: int) -> Iterator[Scored]:
    return score(
        (pair.source for pair in pairs),
        rule.metrics,
        resize=rule.resize,
        regions=rule.regions,
        ignored=rule.ignored,
        batch_size=batch_size,
    )
