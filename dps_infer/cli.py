"""The command line ``dps-infer``.

Its commands are in `dps_infer.commands`. What only computing needs is imported inside them,
so that help, the version and usage errors answer at once.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from dps_infer.commands.batch import EPILOG as BATCH_EPILOG
from dps_infer.commands.batch import batch
from dps_infer.commands.calibrate import calibrate
from dps_infer.commands.compare import compare
from dps_infer.commands.contexts import contexts
from dps_infer.commands.doctor import doctor
from dps_infer.commands.folder import EPILOG as FOLDER_EPILOG
from dps_infer.commands.folder import folder
from dps_infer.commands.info import info
from dps_infer.commands.rank import rank
from dps_infer.commands.report import report
from dps_infer.commands.serve import serve
from dps_infer.commands.shared import run
from dps_infer.commands.shared.options import EXIT_CODES
from dps_infer.commands.video import EPILOG as VIDEO_EPILOG
from dps_infer.commands.video import video

NAME = "dps-infer"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)


def main() -> NoReturn:
    """Run ``dps-infer`` and leave the process with its exit code."""
    run.run(app, NAME)


def _print_version(wanted: bool) -> None:
    if wanted:
        import dps_infer

        typer.echo(f"{NAME} {dps_infer.__version__}")
        raise typer.Exit


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


app.command(epilog=EXIT_CODES)(compare)
app.command(epilog="Exit codes: 0 done; 1 something broke; 2 wrong usage.")(rank)
app.command(epilog=FOLDER_EPILOG)(folder)
app.command(epilog=BATCH_EPILOG)(batch)
app.command(epilog="Exit codes: 0 done; 1 the context file cannot be used; 2 wrong usage.")(info)
app.command(epilog="Exit codes: 0 healthy; 1 a problem; 2 wrong usage.")(doctor)
app.command(epilog="Exit codes: 0 done; 1 something broke; 2 wrong usage.")(report)
app.command(epilog="Exit codes: 0 done; 1 something broke; 2 wrong usage.")(serve)
app.command(epilog="Exit codes: 0 done; 1 something broke; 2 wrong usage.")(calibrate)
app.command(epilog=VIDEO_EPILOG)(video)
app.add_typer(contexts)


if __name__ == "__main__":
    main()
