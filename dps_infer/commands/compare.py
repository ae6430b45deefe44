"""``dps-infer compare``: how different two images are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dps_infer import command
from dps_infer.command import DebugOption
from dps_infer.commands.options import (
    ABOVE,
    ContextsOption,
    DeviceOption,
    ImportancesOption,
    RankingsOption,
    ResizeOption,
    ThreadsOption,
    ThresholdOption,
    ViewOption,
    open_contexts,
)
from dps_infer.devices import Device
from dps_infer.errors import UsageError

NAME = "dps-infer"


def compare(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="The image to compare with.")
    ],
    distorted: Annotated[
        Path, typer.Argument(metavar="DISTORTED", help="The image that may be different.")
    ],
    context: ContextsOption = None,
    ranking: RankingsOption = None,
    importance: ImportancesOption = None,
    view: ViewOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object, with every digit, instead of words."),
    ] = False,
    threshold: ThresholdOption = None,
    device: DeviceOption = Device.auto,
    threads: ThreadsOption = None,
    resize: ResizeOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare two images: how different, and what the difference is made of.

    The distance is 0 for identical images, and larger for what the context calls more
    different. It is followed by its parts, by how it compares with the distortions that
    the context was calibrated on, and by the context itself. Results go to stdout,
    everything else to stderr.
    """
    contexts = open_contexts(context, ranking, importance, device=device, threads=threads)
    if len(contexts) > 1:
        raise UsageError("one context at a time")
    from dps_infer.reading import describe, record

    (loaded,) = contexts.values()
    comparison = loaded.compare(reference, distorted, view=view, resize=resize)
    if loaded.remark is not None:
        command.say(NAME, f"note: {loaded.remark}")
    for note in comparison.notes:
        command.say(NAME, f"note: {note}")
    seen = "" if comparison.view is None else f", view: {comparison.view}"
    command.say(NAME, f"computed by {loaded.provider}, CPU threads: {loaded.threads}{seen}")
    if as_json:
        result = record(
            comparison,
            loaded,
            reference=str(reference),
            distorted=str(distorted),
            threshold=threshold,
        )
        typer.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        for line in describe(comparison, loaded, threshold=threshold):
            typer.echo(command.one_line(line))
    if threshold is not None and comparison.distance > threshold:
        raise typer.Exit(ABOVE)
