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
    contexts,
    doctor,
    folder,
    info,
    rank,
    report,
    serve,
    video,
)
from dps_infer.commands.shared import run
from dps_infer.commands.shared.options import EXIT_CODES

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=compare.EPILOG,
)


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


app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=EXIT_CODES)(rank.rank)
app.command(epilog=folder.EPILOG)(folder.folder)
app.command(epilog=batch.EPILOG)(batch.batch)
app.command(epilog=info.EPILOG)(info.info)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command(epilog=EXIT_CODES)(report.report)
app.command(epilog=EXIT_CODES)(serve.serve)
app.command(epilog=EXIT_CODES)(calibrate.calibrate)
app.command(epilog=video.EPILOG)(video.video)
app.add_typer(contexts.contexts)


if __name__ == "__main__":
    main()
