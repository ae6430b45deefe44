"""The command line ``dps-infer``.

What only computing needs is imported inside the commands, so that help, the version and
usage errors answer at once.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dps_infer import command
from dps_infer.command import DebugOption
from dps_infer.devices import Device

NAME = "dps-infer"
ABOVE = 3
"""Exit code: the distance is above the threshold."""

_EXIT_CODES = (
    "Exit codes: 0 done; 1 something broke (an image, a context file, a device); "
    "2 wrong usage; 3 the distance is above --threshold."
)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=_EXIT_CODES,
)


def main() -> NoReturn:
    """Run ``dps-infer`` and leave the process with its exit code."""
    command.run(app, NAME)


def _print_version(wanted: bool) -> None:
    if wanted:
        import dps_infer

        typer.echo(f"{NAME} {dps_infer.__version__}")
        raise typer.Exit


def _check_threshold(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"expected a finite number >= 0, got {value}")
    return value


@app.callback(invoke_without_command=True)
def dps_infer_(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Measure how different images are, in a context that says what matters."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=_EXIT_CODES)
def compare(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="The image to compare with.")
    ],
    distorted: Annotated[
        Path, typer.Argument(metavar="DISTORTED", help="The image that may be different.")
    ],
    context: Annotated[
        Path,
        typer.Option(
            "--context",
            metavar="FILE",
            help="The context file (.onnx, made by dps-export) that says what matters.",
        ),
    ],
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object, with every digit, instead of words."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Leave with exit code 3 if the distance is above this number.",
            callback=_check_threshold,
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(
            help="Where to compute: the GPU if it works and else the CPU (auto), the CPU, or the "
            "GPU and nothing else (cuda)."
        ),
    ] = Device.auto,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads to use.  [default: as many as this process may use]"),
    ] = None,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize",
            help="Resize the second image to the size of the first. Without it, images of "
            "different sizes are refused.",
        ),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Compare two images: how different, and what the difference is made of.

    The distance is 0 for identical images, and larger for what the context calls more
    different. It is followed by its parts, by how it compares with the distortions that
    the context was calibrated on, and by the context itself. Results go to stdout,
    everything else to stderr.
    """
    from dps_infer.context import Context
    from dps_infer.reading import describe, record

    loaded = Context.load(context, device=device, threads=threads)
    comparison = loaded.compare(reference, distorted, resize=resize)
    if loaded.remark is not None:
        command.say(NAME, f"note: {loaded.remark}")
    for note in comparison.notes:
        command.say(NAME, f"note: {note}")
    command.say(NAME, f"computed by {loaded.provider}, CPU threads: {loaded.threads}")
    if as_json:
        result = record(
            comparison,
            loaded.manifest,
            sha256=loaded.sha256,
            threads=loaded.threads,
            reference=str(reference),
            distorted=str(distorted),
            threshold=threshold,
        )
        typer.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        for line in describe(comparison, loaded.manifest, threshold=threshold):
            typer.echo(command.one_line(line))
    if threshold is not None and comparison.distance > threshold:
        raise typer.Exit(ABOVE)


@app.command(epilog="Exit codes: 0 done; 1 the context file cannot be used; 2 wrong usage.")
def info(
    context: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The context file (.onnx, made by dps-export)."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as JSON instead of words.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Describe a context file: what matters in it, what made it, how good it is."""
    from dps_infer.context import read_manifest
    from dps_infer.manifest import encode_manifest
    from dps_infer.reading import describe_manifest

    manifest, sha256 = read_manifest(context)
    if as_json:
        typer.echo(encode_manifest(manifest))
        return
    for line in describe_manifest(manifest, name=str(context), sha256=sha256):
        typer.echo(command.printable(line))


if __name__ == "__main__":
    main()
