"""The command line ``dps-infer``.

Its commands are in `dps_infer.commands`. What only computing needs is imported inside them,
so that help, the version and usage errors answer at once.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from dps_infer import command
from dps_infer.commands.compare import compare
from dps_infer.commands.info import info
from dps_infer.commands.options import EXIT_CODES

NAME = "dps-infer"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)


def main() -> NoReturn:
    """Run ``dps-infer`` and leave the process with its exit code."""
    command.run(app, NAME)


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
app.command(epilog="Exit codes: 0 done; 1 the context file cannot be used; 2 wrong usage.")(info)


if __name__ == "__main__":
    main()
