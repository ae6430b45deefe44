"""``dps-infer info``: what a context file says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared import run
from dps_infer.commands.shared.run import DebugOption


def info(
    context: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The context file (.onnx, made by dps-export). Without it, the universal metric "
            "that comes with this package is described.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the file states (its manifest) as JSON.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Describe a context file: what matters in it, what made it, how good it is."""
    from dps_infer.model import embedded
    from dps_infer.model.context_file import read_context_file
    from dps_infer.model.manifest import encode_manifest
    from dps_infer.show.words import describe_manifest

    file = read_context_file(embedded.UNIVERSAL if context is None else context)
    if as_json:
        typer.echo(encode_manifest(file.manifest))
        return
    for line in describe_manifest(file.manifest, name=file.path, sha256=file.sha256):
        typer.echo(run.printable(line))
