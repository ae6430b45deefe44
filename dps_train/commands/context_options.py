"""The context and the custom distortions that the options of ``dps-train`` give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dps_infer.contexts.context import Context, choose_context
from dps_infer.contexts.folders import find
from dps_infer.contexts.ranking import (
    KINDS,
    OTHER,
    REST,
    SIZE,
    describe_ranking,
    format_importances,
    format_ranking,
)
from dps_infer.errors import UsageError
from dps_train.commands.options import note
from dps_train.distortions.installed import installed_distortions, mentioned_words

if TYPE_CHECKING:
    from dps_train.custom.custom_distortion import CustomDistortion


def read_context(
    ranking: str | None,
    importance: str | None,
    name: str | None,
    distortions: Sequence[str],
    *,
    needed: bool,
) -> tuple[Context | None, tuple[CustomDistortion, ...]]:
    """Return the context and the custom distortions.

    Raises:
        UsageError: the context is needed and missing, or it is not valid; or a distortion cannot
            be used.
    """
    saved = None if name is None else find(name, note=lambda text: note(f"note: {text}")).context
    custom = _custom(distortions, ranking or importance or (saved.mentions() if saved else ""))
    if not needed:
        return None, custom
    if ranking is None and importance is None and saved is None:
        raise UsageError(
            "say what matters: --ranking 3,1,5,0,2,4 (least disruptive first), "
            "--importance color=0.1,blur=5 or --context-name NAME; `dps-train distortions` lists "
            "the distortions, `dps-train contexts list` the saved contexts"
        )
    names = (*KINDS, *(one.name for one in custom))
    context = choose_context(names, ranking=ranking, importances=importance, context=saved)
    return context, custom


def _custom(distortions: Sequence[str], mentioned: str) -> tuple[CustomDistortion, ...]:
    """Return the custom distortions that options name; without any, PyTorch is not loaded."""
    words = set(mentioned_words(mentioned)) - {*KINDS, OTHER, REST, SIZE}
    if not distortions and not (words and words & installed_distortions().keys()):
        return ()
    from dps_train.custom.find import find_custom

    return find_custom(distortions, mentioned)


def describe_source(context: Context | None, judgements: Path | None) -> str:
    """Describe a context, or the judgements that are given instead, in one line."""
    if context is None:
        return f"judgements in {judgements}"
    if context.ranking is None:
        return f"importances {format_importances(context.importances)}"
    return f"ranking {format_ranking(context.ranking)}: {describe_ranking(context.ranking)}"
