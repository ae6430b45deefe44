"""``dps-infer report``: a page to look at results with."""

from __future__ import annotations

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
    ThreadsOption,
    ViewOption,
    check_threshold,
)
from dps_infer.commands.shared.run import DebugOption
from dps_infer.compare.open import open_metrics
from dps_infer.runtime.device import Device

NAME = "dps-infer"


def report(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="A file of results (.csv, .jsonl or .parquet), as dps-infer batch and folder "
            "write it.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    force: ForceOption = False,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the relative paths in the results begin.  [default: beside RESULTS, or "
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
            help="Mark the pairs with a larger distance than this. A number; or a FILE (.json) "
            "that dps-infer calibrate wrote; or auto for the one that it wrote beside the "
            "context file. Both of these need the context of the results.",
            callback=check_threshold,
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            help="How many pairs, those with the largest distances, get large pictures, and heat "
            "maps if a context is given.",
        ),
    ] = 200,
    thumbnail: Annotated[
        int, typer.Option(min=16, max=512, help="Longest side of the small pictures, in pixels.")
    ] = 96,
    preview: Annotated[
        int, typer.Option(min=16, max=4096, help="Longest side of the large pictures, in pixels.")
    ] = 512,
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize",
            help="For the heat maps, resize the second image of a pair to the size of the first. "
            "Give it where the results were made with it.",
        ),
    ] = False,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    debug: DebugOption = False,
) -> None:
    """Make a page from results: worst pairs first, side by side, to filter and to compare.

    The page is one file that needs no network: pictures are in it. It has a summary, a
    histogram, and a table that sorts and filters; each pair opens side by side, under a
    slider, blinking, or as a heat map. For heat maps, and pictures of what counts, give the
    --context, --ranking, --importance or --context-name that the results were made with, and
    the same --view.
    """
    from dps_infer.files.write import atomic_file, check_output
    from dps_infer.progress import shown
    from dps_infer.report import build_report

    check_output(output, force=force)
    metrics = None
    if context or ranking or importance or context_name:
        metrics = open_metrics(
            context,
            ranking,
            importance,
            context_name,
            device=device,
            threads=threads,
            note=note,
        )
    with shown("report", "pictures") as progress:
        made = build_report(
            results,
            metrics=metrics,
            images=images,
            title=title,
            threshold=threshold,
            worst_pairs=worst,
            thumbnail=thumbnail,
            preview=preview,
            view=view,
            resize=resize,
            progress=progress,
        )
    with atomic_file(output, force=force) as temporary:
        temporary.write_bytes(made.page)
    for line in made.notes:
        note(line)
    size = len(made.page) / 1e6
    run.say(NAME, f"wrote {output}: {made.pairs} pairs, {size:.1f} MB")
