"""``dps-infer report``: an HTML page of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import IgnoreOption, MaskOption, read_ignored
from dps_infer.runtime.device import Device


def report(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="A file of results (.csv, .jsonl or .parquet), written by dps-infer batch or "
            "folder.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    force: options.ForceOption = False,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The start of relative paths in the results.  [default: the folder of RESULTS, "
            "else the current folder]",
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="The heading of the page.")
    ] = "Image comparison",
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|auto|FILE",
            help="Mark the pairs with a larger distance. A number, a FILE (.json) written by "
            "dps-infer calibrate, or auto for the file that it wrote beside the context file. The "
            "last two need the context of the results.",
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of pairs, those with the largest distances, with large pictures, and "
            "with heat maps if a context is given.",
        ),
    ] = 200,
    thumbnail: Annotated[
        int, typer.Option(min=16, max=512, help="Longest side of the small pictures in pixels.")
    ] = 96,
    preview: Annotated[
        int, typer.Option(min=16, max=4096, help="Longest side of the large pictures in pixels.")
    ] = 512,
    exact: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="MB",
            help="Megabytes of the page for the images of the worst pairs themselves: every pixel, "
            "for 1:1 and the loupe.",
        ),
    ] = 16.0,
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize",
            help="For the heat maps, resize the second image of a pair to the size of the first. "
            "Needed if the results were made with it.",
        ),
    ] = False,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    debug: run.DebugOption = False,
) -> None:
    """Make an HTML page of results: the worst pairs first, to filter and to look at.

    The page is a single file that contains its pictures and needs no network. It has a summary, a
    histogram, and a table to sort and filter, also by the columns of your own table of pairs; pairs
    that could not be compared are on top. Each pair opens side by side, under a slider, blinking,
    or as a heat map, with zoom, 1:1 and a loupe; ? shows the keys. For heat maps, and for pictures
    that explain the context, give the --context, --ranking, --importance or --context-name that the
    results were made with.
    """
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.write import atomic_file, check_output
    from dps_infer.progress import show_progress
    from dps_infer.report.build import build_report

    check_output(output, force=force, inputs=[results, *(context or ())])
    metrics = None
    if context or ranking or importance or context_name:
        metrics = open_metrics(
            context,
            ranking,
            importance,
            context_name,
            device=device,
            threads=threads,
            note=run.note,
        )
    ignored = read_ignored(ignore, mask)
    with show_progress("report", "pictures") as progress:
        made = build_report(
            results,
            metrics=metrics,
            images=images,
            title=title,
            threshold=threshold,
            worst_pairs=worst,
            thumbnail=thumbnail,
            preview=preview,
            exact=exact,
            resize=resize,
            ignored=ignored,
            progress=progress,
        )
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(made.page)
    for line in made.notes:
        run.note(line)
    size = len(made.page) / 1e6
    run.say(NAME, f"wrote {output}: {made.pairs} pairs, {size:.1f} MB")
