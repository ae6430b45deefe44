"""``dps-infer calibrate``: a threshold from pairs that are known to be acceptable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.notes import note
from dps_infer.commands.shared.options import (
    ContextNamesOption,
    ContextsOption,
    DeviceOption,
    ForceOption,
    ImportancesOption,
    RankingsOption,
    ResizeOption,
    ThreadsOption,
    ViewOption,
)
from dps_infer.commands.shared.run import DebugOption
from dps_infer.compare.open import open_metrics
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

NAME = "dps-infer"


def calibrate(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="A file of pairs of images that are known to be acceptable, one a row: .csv, "
            ".jsonl or .parquet with the columns reference and candidate, paths relative to the "
            "folder of this file. Results of dps-infer batch will do; they are measured anew.",
        ),
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
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
            help="How sure to be that the share is kept. The surer, the more pairs it takes: for "
            "1 % at 0.8 it takes 161, at 0.95 it takes 299.",
        ),
    ] = 0.8,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the threshold (.json).  [default: beside the context file, "
            "ctx.threshold.json for ctx.onnx, where --threshold auto finds it]",
        ),
    ] = None,
    force: ForceOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of words.")
    ] = False,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    resize: ResizeOption = False,
    debug: DebugOption = False,
) -> None:
    """Find the threshold that only a stated share of acceptable pairs exceeds: the false alarms.

    It is written to a file that the option --threshold of compare, folder, video and report
    takes, in the same context and view alone. Nothing is assumed on how distances are
    distributed. Too few pairs for the share are refused, with the number that it takes. Give
    one context at a time.
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
    if len(metrics) > 1:
        raise UsageError("calibrate takes one context at a time: run it once for each")
    import msgspec

    from dps_infer.bulk.thresholds import calibrate_file, default_path, describe, write_threshold
    from dps_infer.files.write import check_output
    from dps_infer.progress import shown

    (loaded,) = metrics.values()
    path = default_path(loaded) if output is None else output
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path}: expected a name that ends in .json")
    check_output(path, force=force)
    with shown("measuring", "pairs") as progress:
        threshold = calibrate_file(
            pairs,
            loaded,
            view=view,
            resize=resize,
            false_alarms=false_alarms,
            confidence=confidence,
            progress=progress,
        )
    write_threshold(threshold, path, force=force)
    if loaded.remark is not None:
        run.say(NAME, f"note: {loaded.remark}")
    run.say(NAME, f"computed by {loaded.provider}, CPU threads: {loaded.threads}")
    if as_json:
        record = {"file": str(path), **msgspec.to_builtins(threshold)}
        typer.echo(json.dumps(record, indent=2, allow_nan=False))
    else:
        for line in [*describe(threshold), f"written to {path}"]:
            typer.echo(run.one_line(line))
