"""The command line ``dps-infer``.

The commands import modules that compute only when they are called, so that ``--help``,
``--version`` and usage errors are fast.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from dps_infer.commands import (
    NAME,
    batch,
    calibrate,
    compare,
    config,
    contexts,
    folder,
    rank,
    report,
    serve,
    video,
)
from dps_infer.commands.shared import run
from dps_infer.commands.shared.app import add, epilog, make_app
from dps_infer.commands.shared.examples import EXAMPLES
from dps_infer.commands.shared.options import EXIT_CODES
from dps_infer.commands.start import demo, doctor, info

app = make_app(epilog=epilog(EXAMPLES[""], compare.EPILOG), add_completion=True)


def main() -> NoReturn:
    """Run ``dps-infer`` and exit the process with its code."""
    run.run(app, NAME)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dps_infer.version import __version__

        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dps_infer_(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Measure how different images are, in a context that states what matters."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


GROUPS = {
    "Start": (
        (demo.demo, EXIT_CODES, "See in seconds what a context is; needs no files."),
        (info.info, info.EPILOG, "Describe a context file."),
        (doctor.doctor, doctor.EPILOG, "Check the installation and the devices."),
    ),
    "Compare images": (
        (compare.compare, compare.EPILOG, "Compare images with a reference, and explain."),
        (rank.rank, EXIT_CODES, "Sort candidates, closest first."),
        (folder.folder, folder.EPILOG, "Compare two folders, file by file."),
        (config.config, EXIT_CODES, "Show the settings that apply to a file, and why."),
        (batch.batch, batch.EPILOG, "Score any number of pairs from a file."),
        (video.video, video.EPILOG, "Compare two videos, frame by frame."),
    ),
    "Use results": (
        (report.report, EXIT_CODES, "Show results in one HTML file, worst first."),
        (calibrate.calibrate, EXIT_CODES, "Find a threshold for a given false-alarm rate."),
        (serve.serve, EXIT_CODES, "Answer another program, one line per request."),
    ),
}
"""The commands with their exit codes and what they are for, by their headings in the help."""

for group, commands in GROUPS.items():
    for command, exit_codes, purpose in commands:
        add(
            app,
            command,
            examples=EXAMPLES[command.__name__],
            exit_codes=exit_codes,
            group=group,
            purpose=purpose,
        )
app.add_typer(
    contexts.contexts,
    rich_help_panel="Contexts",
    short_help="List, show, compare, merge, and save contexts.",
)


if __name__ == "__main__":
    main()
