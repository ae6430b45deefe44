"""``dps-infer rank``: candidates in the order of their distance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.notes import note, note_run
from dps_infer.commands.shared.options import (
    ContextNamesOption,
    ContextsOption,
    DeviceOption,
    ImportancesOption,
    RankingsOption,
    ResizeOption,
    ThreadsOption,
    ViewOption,
)
from dps_infer.commands.shared.run import DebugOption
from dps_infer.compare.open import open_metrics
from dps_infer.runtime.device import Device


def rank(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="The image to compare with.")
    ],
    candidates: Annotated[
        list[Path], typer.Argument(metavar="CANDIDATE...", help="The images to put in order.")
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    context_name: ContextNamesOption = None,
    view: ViewOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object, with every digit, instead of a table."),
    ] = False,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    resize: ResizeOption = False,
    debug: DebugOption = False,
) -> None:
    """Put candidates in order: the closest to the reference first.

    Several contexts (--ranking given twice, say) are a column each; the first one decides the
    order. Candidates at the same distance share a rank. Results go to stdout, everything else
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
    from dps_infer.compare.candidates import rank_candidates
    from dps_infer.show.table import contexts_record, pair_record, table

    ranked = rank_candidates(reference, candidates, metrics, view=view, resize=resize)
    note_run(metrics, (place.comparisons for place in ranked))
    if as_json:
        record = {
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
        typer.echo(json.dumps(record, indent=2, allow_nan=False))
        return
    rows = [
        ([str(place.rank), run.one_line(str(candidates[place.index]))], place.comparisons)
        for place in ranked
    ]
    for line in table(["rank", "candidate"], rows, metrics):
        typer.echo(run.printable(line))
