"""``dps-infer batch``: score a file of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.notes import note
from dps_infer.commands.shared.options import (
    SOME_FAILED,
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
from dps_infer.runtime.device import Device

NAME = "dps-infer"
EPILOG = (
    "Exit codes: 0 every pair is scored; 1 something broke, and --resume continues; 2 wrong "
    "usage; 4 some pairs have an error instead, all others are scored; 130 interrupted."
)


def batch(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="The pairs, one a row: .csv (UTF-8, commas), .jsonl or .parquet, with the columns "
            "reference and candidate. Paths are relative to the folder of this file. Other "
            "columns are kept.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="RESULTS",
            help="The file of results to write: .csv, .jsonl or .parquet. It appears when all "
            "pairs are done; until then RESULTS.part beside it holds those that are.",
        ),
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
    resize: ResizeOption = False,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pairs that are decoded, held and run at a time.")
    ] = 16,
    decoders: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads that decode images.  [default: a core each, at the most 8]"
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a run that was interrupted or killed: nothing is lost, and nothing is "
            "done twice. Without such a run, start. Refused if the pairs, the contexts or an "
            "option that changes results are others.",
        ),
    ] = False,
    force: ForceOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Score any number of pairs from a file, and keep every column of it.

    Memory stays the same for any number of pairs. A pair that cannot be scored (an image that is
    missing, damaged, refused or of another size; a row that is broken) gets the reason in the
    column error, and all others are scored. dps-infer report makes a page of the results.
    """
    from dps_infer.bulk.batch import score_file
    from dps_infer.bulk.journal import journal_path
    from dps_infer.progress import shown

    metrics = open_metrics(
        context,
        ranking,
        importance,
        context_name,
        device=device,
        threads=threads,
        note=note,
    )
    try:
        with shown("scoring", "pairs") as progress:
            summary = score_file(
                pairs,
                output,
                metrics,
                view=view,
                resize=resize,
                batch_size=batch_size,
                decoders=decoders,
                resume=resume,
                force=force,
                progress=progress,
            )
    except KeyboardInterrupt:
        if journal_path(output).exists():
            run.say(NAME, "interrupted: the same command with --resume continues")
        raise
    first = next(iter(metrics.values()))
    if first.remark is not None:
        run.say(NAME, f"note: {first.remark}")
    run.say(NAME, f"computed by {first.provider}, CPU threads: {first.threads}")
    if as_json:
        names = {label: loaded.describe() for label, loaded in metrics.items()}
        record = {"output": str(output), **summary.as_dict(), "contexts": names}
        typer.echo(json.dumps(record, indent=2, allow_nan=False))
    else:
        counts = f"{summary.rows} pairs: {summary.scored} scored, {summary.errors} with errors"
        if summary.resumed:
            counts += f", {summary.resumed} of them by an earlier run"
        time = f"{summary.seconds:.1f} s, {summary.rate:.1f} pairs/s"
        typer.echo(run.one_line(f"{counts}; {time} -> {output}"))
    if summary.errors:
        raise typer.Exit(SOME_FAILED)
