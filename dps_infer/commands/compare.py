"""``dps-infer compare``: how different images are from a reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.maps import (
    LegendOption,
    MapOption,
    MapPartOption,
    MapStyle,
    OverlayOption,
    plan_maps,
    write_maps,
)
from dps_infer.commands.shared.notes import note, note_run
from dps_infer.commands.shared.options import (
    ABOVE,
    ContextNamesOption,
    ContextsOption,
    DeviceOption,
    ForceOption,
    ImportancesOption,
    RankingsOption,
    ResizeOption,
    ThreadsOption,
    ThresholdOption,
    ViewOption,
)
from dps_infer.commands.shared.run import DebugOption
from dps_infer.compare.open import open_metrics
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.compare.metric import Metric
    from dps_infer.compare.pairs import Comparison
    from dps_infer.show.table import Thresholds


def compare(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="The image to compare with.")
    ],
    candidates: Annotated[
        list[Path],
        typer.Argument(metavar="CANDIDATE...", help="The images that may be different."),
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
    map_file: MapOption = None,
    overlay: OverlayOption = False,
    legend: LegendOption = False,
    map_part: MapPartOption = None,
    force: ForceOption = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON, with every digit, instead of words: one object for one candidate "
            "in one context, otherwise an array of such objects, candidate by candidate.",
        ),
    ] = False,
    threshold: ThresholdOption = None,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    resize: ResizeOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare images with a reference: how different, and what the difference is made of.

    The distance is 0 for identical images, and larger for what the context calls more
    different. It is followed by its parts, which add up to it, and for one candidate in one
    context by how it compares with known changes. Several candidates are a row each, several
    contexts (--ranking given twice, say) a column each. Results go to stdout, everything else
    to stderr.
    """
    metrics = open_metrics(
        context,
        ranking,
        importance,
        context_name,
        device=device,
        threads=threads,
        note=note,
    )
    style = MapStyle(overlay=overlay, legend=legend, part=map_part)
    plan = plan_maps(map_file, style, candidates, list(metrics), force=force)
    from dps_infer.bulk.thresholds import resolve_thresholds
    from dps_infer.compare.candidates import compare_candidates
    from dps_infer.show.table import any_above
    from dps_infer.show.words import record

    thresholds = resolve_thresholds(threshold, metrics, view=view)
    results = compare_candidates(
        reference, candidates, metrics, view=view, resize=resize, with_map=bool(plan)
    )
    if plan:
        write_maps(plan, style, reference, candidates, results, metrics, resize=resize, force=force)
    note_run(metrics, results)
    if as_json:
        records = [
            {
                **record(
                    comparison,
                    metrics[label],
                    str(reference),
                    str(candidate),
                    label=label,
                    threshold=thresholds[label],
                ),
                "map": str(plan[number, label]) if plan else None,
            }
            for number, (candidate, comparisons) in enumerate(zip(candidates, results, strict=True))
            for label, comparison in comparisons.items()
        ]
        shown = records[0] if len(records) == 1 else records
        typer.echo(json.dumps(shown, indent=2, allow_nan=False))
    else:
        for line in _words(candidates, results, metrics, thresholds):
            typer.echo(line)
    if any_above(results, thresholds):
        raise typer.Exit(ABOVE)


def _words(
    candidates: list[Path],
    results: list[dict[str, Comparison]],
    metrics: dict[str, Metric],
    thresholds: Thresholds,
) -> list[str]:
    from dps_infer.show.table import table, verdicts
    from dps_infer.show.words import describe

    if len(candidates) == len(metrics) == 1:
        ((label, metric),) = metrics.items()
        lines = describe(results[0][label], metric, threshold=thresholds[label])
        return [run.one_line(line) for line in lines]
    names = [[run.one_line(str(candidate))] for candidate in candidates]
    rows = list(zip(names, results, strict=True))
    lines = table(["candidate"], rows, metrics, thresholds=thresholds)
    return [run.printable(line) for line in (*lines, *verdicts(results, thresholds))]
