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
from dps_infer.errors import UsageError
from dps_infer.views import View

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
        Path | None,
        typer.Option(
            "--context",
            metavar="FILE",
            help="A context file (.onnx, made by dps-export) that says what matters. Without it, "
            "the universal metric of this package is told by --ranking or --importance; so is a "
            "context file that is universal.",
        ),
    ] = None,
    ranking: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Distortions, names or numbers, from the least to the most disruptive: "
            "color,translate,zoom,rotate,darken,blur. A = ties two: color=translate,blur.",
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Instead of a ranking, how much each distortion counts: color=0.1,blur=5. What "
            "is not named does not count.",
        ),
    ] = None,
    view: Annotated[
        View | None,
        typer.Option(
            help="How to look at the images: as a whole at the working size, in tiles at their "
            "own resolution, or both.  [default: the context file's own]"
        ),
    ] = None,
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
    if ranking is not None and importance is not None:
        raise UsageError("--ranking and --importance say the same thing in two ways: give one")
    if context is None and ranking is None and importance is None:
        raise UsageError(
            "say what matters: --ranking color,translate,zoom,rotate,darken,blur (the least "
            "disruptive first), --importance color=0.1,blur=5, or --context FILE"
        )
    from dps_infer.context import Context
    from dps_infer.reading import describe, record

    if context is None:
        loaded = Context.universal(
            ranking=ranking, importance=importance, device=device, threads=threads
        )
    else:
        loaded = Context.load(
            context, ranking=ranking, importances=importance, device=device, threads=threads
        )
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


@app.command(epilog="Exit codes: 0 done; 1 the context file cannot be used; 2 wrong usage.")
def info(
    context: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The context file (.onnx, made by dps-export); without it, the universal one "
            "that comes with this package.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as JSON instead of words.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Describe a context file: what matters in it, what made it, how good it is."""
    from dps_infer import embedded
    from dps_infer.contextfile import read_context_file
    from dps_infer.manifest import encode_manifest
    from dps_infer.reading import describe_manifest

    file = read_context_file(embedded.UNIVERSAL if context is None else context)
    if as_json:
        typer.echo(encode_manifest(file.manifest))
        return
    for line in describe_manifest(file.manifest, name=file.path, sha256=file.sha256):
        typer.echo(command.printable(line))


if __name__ == "__main__":
    main()
