"""The contexts in which pairs are measured: several at once, as a command line asks for them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dps_infer.contexts.context import Context, ranking_context
from dps_infer.contexts.folders import find
from dps_infer.contexts.ranking import KINDS, SIZE
from dps_infer.errors import UsageError
from dps_train.contexts import random_rankings
from dps_train.distortions.paper import NAMES
from dps_train.evaluate.pair_target import PairTarget
from dps_train.seeds import generator_for

GENERAL = "general"
"""The context in which every kind of change counts alike: the general distance where there is one,
else every importance is 1."""

OWN = "own"
"""The context that a run or a plain file is adapted to."""

DEFAULT_RANKINGS = 20


class Group(str, enum.Enum):
    """Where a context comes from: figures are averaged over the contexts of a group."""

    general = GENERAL
    rankings = "rankings"
    named = "named"
    own = OWN


@dataclass(frozen=True)
class PairContext:
    """A context to measure pairs in.

    Attributes:
        label: different from those of the contexts beside it.
        group: where it comes from.
        importances: by the target's part names, as `PairTarget.measure` takes them.
    """

    label: str
    group: Group
    importances: Mapping[str, float] | None


def pair_contexts(
    target: PairTarget, asked: str | None, rankings: Sequence[str] = (), *, seed: int = 0
) -> list[PairContext]:
    """Return the contexts to measure a target in.

    Args:
        target: the metric.
        asked: words joined by commas: ``general``, ``own``, a number of random rankings, or the
            name of a saved context. None: the target's own context; for a universal metric
            ``general`` and `DEFAULT_RANKINGS` random rankings; only `rankings` if there are any.
        rankings: more contexts, from the least to the most disruptive distortion.
        seed: of the random rankings.

    Returns:
        At least one, each once.

    Raises:
        UsageError: an unknown word or ranking, none at all, a context that the target cannot be
            measured in, or more random rankings than there are.
    """
    if asked is None and not rankings:
        asked = f"{GENERAL},{DEFAULT_RANKINGS}" if target.own is None else OWN
    words = [] if asked is None else [word.strip() for word in asked.split(",")]
    if target.tied is not None and (rankings or set(words) != {OWN}):
        raise UsageError(
            f"{target.name} can be measured in its own context only, as {target.tied}: "
            f"leave --contexts and --ranking out"
        )
    contexts: dict[str, PairContext] = {}
    for word in words:
        for context in _asked(target, word, seed):
            contexts.setdefault(context.label, context)
    for ranking in rankings:
        context = _labeled(ranking_context(ranking, target.kinds), Group.named)
        contexts.setdefault(context.label, context)
    return list(contexts.values())


def _asked(target: PairTarget, word: str, seed: int) -> list[PairContext]:
    if word == GENERAL:
        alike = {SIZE: 1.0} if target.has_size else dict.fromkeys(target.part_names, 1.0)
        return [PairContext(GENERAL, Group.general, alike)]
    if word == OWN:
        if target.own is None:
            raise UsageError(
                f"{target.name} has no context of its own: expected {GENERAL}, a number of random "
                "rankings, or names of saved contexts"
            )
        return [PairContext(OWN, Group.own, None)]
    if word.isascii() and word.isdecimal():
        count = int(word)
        kinds = [name for name in target.kinds if name in NAMES or name not in KINDS]
        drawn = random_rankings(max(count, 1), generator_for("rankings", seed), kinds)
        if not 1 <= count == len(drawn):
            raise UsageError(
                f"--contexts asks for {count} random rankings: expected 1 to {len(drawn)}"
            )
        return [_labeled(one.for_distortions(target.kinds), Group.rankings) for one in drawn]
    if not word:
        raise UsageError(
            f"--contexts: expected {GENERAL}, {OWN}, a number of random rankings, or names of "
            "saved contexts, joined by commas"
        )
    return [_labeled(find(word).context.for_distortions(target.kinds), Group.named)]


def _labeled(context: Context, group: Group) -> PairContext:
    return PairContext(context.name or context.mentions(), group, context.importances)
