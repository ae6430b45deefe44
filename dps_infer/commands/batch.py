"""``dps-infer batch``: score a file of pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.ci import GithubOption, JunitOption, begin, write_outcomes
from dps_infer.commands.shared.regions import IgnoreOption, MaskOption, read_ignored
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

EPILOG = (
    "Exit codes: 0 every pair is scored; 1 something broke, --resume continues; 2 wrong usage; "
    f"4 some pairs have an error, all others are scored; {options.ENDED}"
)


def batch(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="The pairs, one per row: .csv (UTF-8, commas), .jsonl or .parquet, with the "
            "columns reference and candidate. Paths are relative to the folder of this file. A "
            "column ignore leaves boxes out of a pair, as --ignore does: 0,0,100%,5%; 10,20,30,40. "
            "Other columns are copied to the results.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="RESULTS",
            help="The file of results to write: .csv, .jsonl or .parquet. It appears when all "
            "pairs are done; until then RESULTS.part beside it holds the finished ones.",
        ),
    ],
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    resize: options.ResizeOption = False,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pairs that are held in memory and computed at a time.")
    ] = 16,
    decoders: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that decode images.  [default: one per core, at most 8]"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume an interrupted run without losing or repeating work; start one if there "
            "is none. Refused if the pairs, the contexts or an option that affects results differ.",
        ),
    ] = False,
    junit: JunitOption = None,
    github: GithubOption = False,
    escape_formulas: options.EscapeOption = False,
    force: options.ForceOption = False,
    as_json: options.JsonOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Score any number of pairs from a file; all of its columns are kept.

    Memory does not grow with the number of pairs. A pair that cannot be scored (an image that is
    missing, damaged, refused or of another size; an invalid row) gets the reason in the column
    error, and the run continues. dps-infer report makes a page of the results.
    """
    from dps_infer.bulk.batch import score_file
    from dps_infer.bulk.journal import RESUME, journal_path
    from dps_infer.bulk.results import read_results
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.write import check_output
    from dps_infer.progress import show_progress
    from dps_infer.show.words import describe_run

    if github and as_json:
        raise UsageError("--github prints commands for GitHub, which are no --json: give one")
    resume_github = begin(github)
    if junit is not None:
        check_output(junit, force=force, inputs=[pairs, output, *(context or ())])
    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    ignored = read_ignored(ignore, mask)
    try:
        with show_progress("scoring", "pairs") as progress:
            summary = score_file(
                pairs,
                output,
                metrics,
                resize=resize,
                ignored=ignored,
                batch_size=batch_size,
                decoders=decoders,
                resume=resume,
                force=force,
                escape_formulas=escape_formulas,
                progress=progress,
            )
    except KeyboardInterrupt:
        if journal_path(output).exists():
            run.say(NAME, f"interrupted: {RESUME}")
        raise
    run.say(NAME, *describe_run(metrics))
    if as_json:
        contexts = {label: metric.describe() for label, metric in metrics.items()}
        run.print_json({"output": str(output), **asdict(summary), "contexts": contexts})
    else:
        counts = f"{summary.rows} pairs: {summary.scored} scored, {summary.errors} with errors"
        if summary.resumed:
            counts += f", {summary.resumed} of them by an earlier run"
        time = f"{summary.seconds:.1f} s, {summary.rate:.1f} pairs/s"
        run.print_lines([run.one_line(f"{counts}; {time} -> {output}")])
    if junit is not None or github:
        from dps_infer.ci.outcome import row_outcome

        write_outcomes(
            [row_outcome(row) for row in read_results(output)],
            suite="dps-infer batch",
            seconds=summary.seconds,
            junit=junit,
            resume=resume_github,
            force=force,
        )
    if summary.errors:
        raise typer.Exit(options.SOME_FAILED)
