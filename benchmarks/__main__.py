"""The command ``python -m benchmarks``: list the benchmarks, run one, or fill the tables."""

from __future__ import annotations

import inspect
import sys
from typing import Annotated, NoReturn

import typer

from benchmarks.shared import suite
from benchmarks.shared.documents import DocumentError, documents, update
from dps_infer.commands.shared.run import DebugOption, run, say

COMMAND = "python -m benchmarks"
TITLES = {
    "quality": "Quality: may run beside other work",
    "speed": "Speed: need an idle machine",
}


def make_app(asked: str) -> typer.Typer:
    """Return the command line with those of the benchmarks that are asked for.

    Only these are imported: most need PyTorch, which takes seconds.
    """
    app = typer.Typer(
        name=suite.NAME,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(invoke_without_command=True, help=_help())(benchmarks)
    app.command()(tables)
    if asked in suite.modules():
        app.command(asked)(suite.command(asked))
    return app


def benchmarks(context: typer.Context) -> None:
    """Measure this project.

    Each benchmark prints its tables, and writes a record (figures, options, versions, processor,
    commit) to benchmarks/records/NAME.json.

    Exit codes: 0 done, 1 something broke or a check failed, 2 usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


def tables(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a table differs.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Fill the tables of README.md and docs/ from the records."""
    changed = update(documents(), check=check)
    if check and changed:
        raise DocumentError(
            f"tables in {', '.join(changed)} differ from the records: run {COMMAND} tables"
        )
    if not check:
        say(suite.NAME, f"updated {', '.join(changed)}" if changed else "tables are up to date")


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    run(make_app(sys.argv[1] if len(sys.argv) > 1 else ""), COMMAND)


def _help() -> str:
    """Return the help text of the whole command line, with a line for each benchmark."""
    lists = []
    for group, title in TITLES.items():
        summaries = suite.summaries(group)
        width = max(map(len, summaries))
        lines = [f"  {name.ljust(width)}  {line}" for name, line in summaries.items()]
        # The mark keeps the lines as they are.
        lists.append("\n".join(["\b", title, *lines]))
    usage = f"`{COMMAND} NAME --help` lists the options of a benchmark."
    return "\n\n".join([inspect.getdoc(benchmarks) or "", *lists, usage])


if __name__ == "__main__":
    main()
