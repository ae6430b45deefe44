"""What commands that compare say on stderr about how they did it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dps_infer.commands.shared import run

if TYPE_CHECKING:
    from dps_infer.compare.metric import Comparison, Context

NAME = "dps-infer"


def tell(contexts: Mapping[str, Context], results: Iterable[Mapping[str, Comparison]]) -> None:
    """Tell each remark once: on the device, on what was done to the images, and what computed.

    Args:
        contexts: by their labels.
        results: comparisons by label, one a pair.
    """
    remarks: dict[str, None] = {}
    computed: dict[str, None] = {}
    for context in contexts.values():
        if context.remark is not None:
            remarks[context.remark] = None
    for comparisons in results:
        for label, comparison in comparisons.items():
            remarks.update(dict.fromkeys(comparison.notes))
            seen = "" if comparison.view is None else f", view: {comparison.view}"
            threads = contexts[label].threads
            computed[f"computed by {comparison.provider}, CPU threads: {threads}{seen}"] = None
    for remark in remarks:
        run.say(NAME, f"note: {remark}")
    for line in computed:
        run.say(NAME, line)
