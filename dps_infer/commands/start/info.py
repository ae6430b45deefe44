"""``dps-infer info``: describe a context file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared import run

EPILOG = "Exit codes: 0 done; 1 the context file cannot be used; 2 wrong usage."


def info(
    context: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The context file (.onnx, made by dps-export).  [default: the universal metric "
            "of this package]",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Print everything that the file states: layers, weights, kinds, quantiles.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole description (the manifest) as JSON.")
    ] = False,
    debug: run.DebugOption = False,
) -> None:
    """Describe a context file: what matters in it, how it was made, and how good it is.

    In at most ten lines, or with --all in full. "typical" are median distances: half of the
    changes that the file was calibrated with are farther.
    """
    from dps_infer.model import embedded
    from dps_infer.model.context_file import read_context_file
    from dps_infer.model.manifest import encode_manifest
    from dps_infer.show.context_file import describe_manifest, summarize_manifest

    file = read_context_file(embedded.UNIVERSAL if context is None else context)
    if as_json:
        typer.echo(encode_manifest(file.manifest))
    elif everything:
        run.print_lines(describe_manifest(file.manifest, name=file.path, sha256=file.sha256))
    else:
        size = Path(file.path).stat().st_size
        run.print_lines(
            summarize_manifest(file.manifest, name=file.path, sha256=file.sha256, size=size)
        )
