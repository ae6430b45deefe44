"""``dps-infer calibrate``: estimate a threshold from pairs that are known to be acceptable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device


def calibrate(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="Pairs of images that are known to be acceptable, one per row: .csv, .jsonl or "
            ".parquet with the columns reference and candidate, paths relative to the folder of "
            "this file. Results of dps-infer batch work too; they are measured again.",
        ),
    ],
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    false_alarms: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="The share of acceptable pairs that may be above the threshold: 0.01 is 1 %.",
        ),
    ] = 0.01,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="The confidence that this share is not exceeded. More takes more pairs: for 1 %, "
            "161 pairs at 0.8 and 299 at 0.95.",
        ),
    ] = 0.8,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The threshold file to write (.json).  [default: beside the context file, "
            "ctx.threshold.json for ctx.onnx, where --threshold auto finds it]",
        ),
    ] = None,
    force: options.ForceOption = False,
    as_json: options.JsonOption = False,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    resize: options.ResizeOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Estimate the threshold that only a stated share of acceptable pairs exceeds (false alarms).

    It is written to a file for the option --threshold of compare, folder, video and report, which
    accept it only in the same context. No distribution of the distances is assumed. Too
    few pairs for the share are refused, with the number that is needed. Takes one context at a
    time.
    """
    import msgspec

    from dps_infer.bulk.threshold_estimate import calibrate_file
    from dps_infer.bulk.thresholds import default_path, describe, write_threshold
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.write import check_output
    from dps_infer.progress import show_progress
    from dps_infer.show.words import describe_run

    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    if len(metrics) > 1:
        raise UsageError("calibrate takes one context at a time: run it once for each")
    (metric,) = metrics.values()
    path = default_path(metric) if output is None else output
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path}: expected a name that ends in .json")
    check_output(path, force=force, inputs=[pairs, *(context or ())])
    with show_progress("measuring", "pairs") as progress:
        threshold = calibrate_file(
            pairs,
            metric,
            resize=resize,
            false_alarms=false_alarms,
            confidence=confidence,
            progress=progress,
        )
    write_threshold(threshold, path, force=force)
    run.say(NAME, *describe_run(metrics))
    if as_json:
        run.print_json({"file": str(path), **msgspec.to_builtins(threshold)})
    else:
        run.print_lines(map(run.one_line, [*describe(threshold), f"written to {path}"]))
