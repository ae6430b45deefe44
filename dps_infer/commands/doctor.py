"""``dps-infer doctor``: what this installation can do, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.run import DebugOption


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of words.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Examine this installation: runtime, devices, threads, versions, and a self test.

    Each device that onnxruntime offers is tried, as it may still not work. The metric in this
    package is checked for damage, and measures an image against itself and its negative.
    Every problem comes with what to do about it.
    """
    from dps_infer.doctor import describe, examine

    diagnosis = examine()
    if as_json:
        result = {"healthy": diagnosis.healthy, **asdict(diagnosis)}
        typer.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        for line in describe(diagnosis):
            typer.echo(run.printable(line))
    if not diagnosis.healthy:
        raise typer.Exit(1)
