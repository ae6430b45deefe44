"""Open the metrics that a command, or a worker on another machine, is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dps_infer.compare.metric import Metric
from dps_infer.errors import UsageError
from dps_infer.model import embedded
from dps_infer.runtime.device import Device


def open_metrics(
    files: Sequence[Path] | None,
    rankings: Sequence[str] | None,
    importances: Sequence[str] | None,
    names: Sequence[str] | None = None,
    *,
    device: Device | str = Device.auto,
    threads: int | None = None,
    note: Callable[[str], None] = lambda text: None,
    project: Path | None = None,
    opened: dict[Path, Metric] | None = None,
) -> dict[str, Metric]:
    """Open what ``--context``, ``--ranking``, ``--importance`` and ``--context-name`` ask for.

    Each context file gives a metric. Several rankings, importances or names give as many metrics
    of one universal file, which is opened once.

    Args:
        files: context files; without any, the universal one of the package.
        rankings: for a universal file.
        importances: for a universal file, in place of rankings.
        names: saved contexts for a universal file, in place of both.
        device: where to compute.
        threads: CPU threads.
        note: called with one line for each saved context that hides another of its name.
        project: the folder of the project's saved contexts; None takes that of
            `dps_infer.contexts.folders`.
        opened: the files that earlier calls opened, by their paths; this call adds its own, and
            opens none of them again.

    Returns:
        The metrics by their labels, in the order that they were given. Labels differ: the second
        metric with a label gets the suffix -2.

    Raises:
        UsageError: nothing says what matters, or two options do at once.
        DpsError: see `Metric.load`.
    """
    options = {"--ranking": rankings, "--importance": importances, "--context-name": names}
    given = [option for option, values in options.items() if values]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} say the same thing in {len(given)} ways: give one")
    if not (files or given):
        raise UsageError(
            "say what matters: --ranking color,translate,zoom,rotate,darken,blur (the least "
            "disruptive first), --importance color=0.1,blur=5, --context-name print-inspection, "
            "or --context FILE"
        )
    if files and len(files) > 1 and given:
        raise UsageError(
            f"{given[0]} sets the context of one universal file: "
            f"expected one --context beside it, got {len(files)}"
        )
    kept = {} if opened is None else opened

    def open_once(path: Path, **how: Any) -> Metric:
        if path in kept:
            return kept[path].in_context(**how)
        kept[path] = Metric.load(path, device=device, threads=threads, **how)
        return kept[path]

    if not given:
        return label_metrics([open_once(file) for file in files or []])
    load = partial(open_once, files[0] if files else embedded.UNIVERSAL)
    if rankings:
        first = load(ranking=rankings[0])
        others = [first.in_context(ranking=ranking) for ranking in rankings[1:]]
    elif importances:
        first = load(importances=importances[0])
        others = [first.in_context(importances=numbers) for numbers in importances[1:]]
    else:
        # Only saved contexts need TOML and folders, whose import takes time.
        from dps_infer.contexts.folders import PROJECT, find

        folder = PROJECT if project is None else project
        context, *more = (find(n, project=folder, note=note).context for n in names or [])
        first = load(context=context)
        others = [first.in_context(context=another) for another in more]
    return label_metrics([first, *others])


def label_metrics(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Return metrics by labels that differ: the second with a label gets the suffix -2."""
    labeled: dict[str, Metric] = {}
    for metric in metrics:
        label, number = metric.label, 1
        while label in labeled:
            number += 1
            label = f"{metric.label}-{number}"
        labeled[label] = metric
    return labeled
