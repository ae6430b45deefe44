"""``dps-infer rank``: candidates in the order of their distance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands import NAME
from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import IgnoreOption, MaskOption, read_ignored
from dps_infer.commands.shared.standard_input import image_sources
from dps_infer.runtime.device import Device


def rank(
    reference: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE", help="The image to compare with; - is standard input."),
    ],
    candidates: Annotated[
        list[Path],
        typer.Argument(
            metavar="CANDIDATE...", help="The images to put in order; - is standard input."
        ),
    ],
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    as_json: options.JsonOption = False,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    resize: options.ResizeOption = False,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    debug: run.DebugOption = False,
) -> None:
    """Put candidates in order: the closest to the reference first.

    With several contexts (a repeated --ranking, for example), each one has a column, and the
    first one decides the order. Candidates at the same distance share a rank. Results go to
    stdout, everything else to stderr.
    """
    from dps_infer.compare.candidates import rank_candidates
    from dps_infer.compare.open import open_metrics
    from dps_infer.show.lines import result_lines
    from dps_infer.show.records import contexts_record, pair_record
    from dps_infer.show.words import describe_run

    metrics = open_metrics(
        context, ranking, importance, context_name, device=device, threads=threads, note=run.note
    )
    first, *others = image_sources([reference, *candidates])
    ranked = rank_candidates(
        first, others, metrics, resize=resize, ignored=read_ignored(ignore, mask)
    )
    run.say(NAME, *describe_run(metrics, (place.comparisons for place in ranked)))
    if as_json:
        run.print_json(
            {
                "reference": str(reference),
                "contexts": contexts_record(metrics),
                "candidates": [
                    {
                        "rank": place.rank,
                        "candidate": str(candidates[place.index]),
                        **pair_record(place.comparisons),
                    }
                    for place in ranked
                ],
            }
        )
        return
    rows = [
        ([str(place.rank), run.one_line(str(candidates[place.index]))], place.comparisons)
        for place in ranked
    ]
    run.print_lines(result_lines(["rank", "candidate"], rows, metrics))
