"""Notes on stderr about how images were compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dps_infer.commands.shared.run import say
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison

NAME = "dps-infer"


def note(text: str) -> None:
    """Print a note on stderr."""
    say(NAME, f"note: {text}")


def note_run(metrics: Mapping[str, Metric], results: Iterable[Mapping[str, Comparison]]) -> None:
    """Print, each once: remarks on the device, conversions of the images, and the provider.

    Args:
        metrics: by their labels.
        results: comparisons by label, one dictionary per pair.
    """
    remarks: dict[str, None] = {}
    computed: dict[str, None] = {}
    for metric in metrics.values():
        if metric.remark is not None:
            remarks[metric.remark] = None
    for comparisons in results:
        for label, comparison in comparisons.items():
            remarks.update(dict.fromkeys(comparison.notes))
            seen = "" if comparison.view is None else f", view: {comparison.view}"
            threads = metrics[label].threads
            computed[f"computed by {comparison.provider}, CPU threads: {threads}{seen}"] = None
    for remark in remarks:
        note(remark)
    for line in computed:
        say(NAME, line)
