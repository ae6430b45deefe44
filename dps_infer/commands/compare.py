"""``dps-infer compare``: how different images are from a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.maps import (
    LegendOption,
    MapOption,
    MapPartOption,
    MapStyle,
    OverlayOption,
    Plan,
    plan_maps,
    write_maps,
)
from dps_infer.commands.shared.regions import GateOption, IgnoreOption, MaskOption, read_ignored
from dps_infer.commands.shared.standard_input import image_sources
from dps_infer.compare.regions.gate import Gate
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

if TYPE_CHECKING:
    from dps_infer.compare.metric import Metric
    from dps_infer.compare.pairs import Comparison
    from dps_infer.compare.summary import Thresholds

EPILOG = (
    "Exit codes: 0 done; 1 something broke (an image, a context file, a device); "
    "2 wrong usage; 3 a distance is above the threshold given by --threshold; " + options.ENDED
)


def compare(
    reference: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE", help="The image to compare with; - is standard input."),
    ],
    candidates: Annotated[
        list[Path],
        typer.Argument(
            metavar="CANDIDATE...", help="The images that may be different; - is standard input."
        ),
    ],
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    map_file: MapOption = None,
    overlay: OverlayOption = False,
    legend: LegendOption = False,
    map_part: MapPartOption = None,
    force: options.ForceOption = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON at full precision instead of text: one object for one candidate "
            "in one context, otherwise an array of such objects, candidate by candidate.",
        ),
    ] = False,
    threshold: options.ThresholdOption = None,
    gate: GateOption = Gate.whole,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    resize: options.ResizeOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Compare images with a reference: how different they are, and why.

    The distance is 0 for identical images, and larger for images that the context calls more
    different. It is printed with its parts, which add up to it. For one candidate in one context,
    it is also compared with known distortions. Several candidates have a row each, several
    contexts (a repeated --ranking, for example) a column each. With --map, --json or --gate worst,
    the regions that differ are found as well: boxes, each with its own distance. Results go to
    stdout, everything else to stderr.
    """
    # Most calls compare one pair and print text: JSON, tables, maps and thresholds load on demand.
    from dps_infer.compare.candidates import compare_candidates
    from dps_infer.compare.open import open_metrics
    from dps_infer.show.words import describe_run

    style = MapStyle(overlay=overlay, legend=legend, part=map_part)
    if map_file is None and style != MapStyle():
        raise UsageError("--overlay, --legend and --map-part need --map FILE to write to")
    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    plan: Plan = {}
    if map_file is not None:
        inputs = [reference, *candidates, *(context or ())]
        plan = plan_maps(map_file, candidates, list(metrics), force=force, inputs=inputs)
    thresholds: Thresholds = {}
    if threshold is not None:
        from dps_infer.bulk.thresholds import resolve_thresholds

        thresholds = resolve_thresholds(threshold, metrics)
    ignored = read_ignored(ignore, mask)
    first, *others = image_sources([reference, *candidates])
    results = compare_candidates(
        first,
        others,
        metrics,
        resize=resize,
        with_map=bool(plan),
        regions=gate if plan or as_json or gate is Gate.worst else None,
        ignored=ignored,
    )
    if plan:
        write_maps(
            plan,
            style,
            first,
            others,
            results,
            metrics,
            resize=resize,
            ignored=ignored,
            force=force,
        )
    run.say(NAME, *describe_run(metrics, results))
    if as_json:
        from dps_infer.show.records import comparison_record

        records = [
            {
                **comparison_record(
                    comparison,
                    metrics[label],
                    str(reference),
                    str(candidate),
                    label=label,
                    threshold=thresholds.get(label),
                ),
                "map": str(plan[number, label]) if plan else None,
            }
            for number, (candidate, comparisons) in enumerate(zip(candidates, results, strict=True))
            for label, comparison in comparisons.items()
        ]
        run.print_json(records[0] if len(records) == 1 else records)
    else:
        run.print_lines(_lines(candidates, results, metrics, thresholds))
    if thresholds:
        from dps_infer.compare.summary import any_above

        if any_above(results, thresholds):
            raise typer.Exit(options.ABOVE)


def _lines(
    candidates: Sequence[Path],
    results: Sequence[Mapping[str, Comparison]],
    metrics: Mapping[str, Metric],
    thresholds: Thresholds,
) -> list[str]:
    if len(candidates) == len(metrics) == 1:
        from dps_infer.show.words import describe

        ((label, metric),) = metrics.items()
        lines = describe(results[0][label], metric, threshold=thresholds.get(label))
        if results[0][label].regions:
            from dps_infer.show.regions import region_lines

            lines += region_lines(results[0][label])
        return [run.one_line(line) for line in lines]
    from dps_infer.show.lines import result_lines, threshold_lines

    names = [[run.one_line(str(candidate))] for candidate in candidates]
    rows = list(zip(names, results, strict=True))
    lines = result_lines(["candidate"], rows, metrics, thresholds=thresholds)
    return [*lines, *threshold_lines(results, thresholds)]
