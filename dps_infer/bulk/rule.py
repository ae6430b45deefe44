"""Pairs of files that are compared by different rules.

Within a window of pairs, those with the same rule are run together, so that batches are as full as
those of one rule for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from dps_infer.bulk.folder_pairs import FolderPair
from dps_infer.compare.rule import Rule
from dps_infer.compare.stream import BATCH_SIZE, PairSource, Scored, score_by_rules

WINDOW = 1024
"""Pairs that are put in the order of their rules at a time."""

RuleOf = Callable[[FolderPair], Rule]


def score_by_rule(
    pairs: Iterable[FolderPair],
    rules: Collection[Rule],
    rule_of: RuleOf,
    *,
    batch_size: int = BATCH_SIZE,
    on_done: Callable[[], None] = lambda: None,
) -> Iterator[tuple[FolderPair, Rule, Scored]]:
    """Compare pairs, each by its rule; memory does not grow with their number.

    Args:
        pairs: of more than one rule, about `WINDOW` of them are held at a time.
        rules: all of them.
        rule_of: returns the rule of a pair.
        batch_size: see `dps_infer.compare.stream.score`.
        on_done: called after every pair.

    Yields:
        The pairs in their order, each with its rule and its result.

    Raises:
        UsageError: see `dps_infer.compare.stream.score`.
        ContextError: see `dps_infer.compare.stream.score`.
    """
    size = 1 if len(rules) == 1 else WINDOW
    windows: deque[list[tuple[int, FolderPair, Rule]]] = deque()

    def in_order_of_rules() -> Iterator[tuple[PairSource, Rule]]:
        places = {rule: place for place, rule in enumerate(rules)}
        left = iter(pairs)
        while window := list(islice(left, size)):
            plan = [(number, pair, rule_of(pair)) for number, pair in enumerate(window)]
            plan.sort(key=lambda item: places[item[2]])
            windows.append(plan)
            for _, pair, rule in plan:
                yield pair.source, rule

    found: dict[int, tuple[FolderPair, Rule, Scored]] = {}
    for scored in score_by_rules(in_order_of_rules(), rules, batch_size=batch_size):
        number, pair, rule = windows[0][len(found)]
        found[number] = (pair, rule, scored)
        on_done()
        if len(found) == len(windows[0]):
            yield from (found[number] for number in range(len(found)))
            found.clear()
            windows.popleft()
