"""The command line ``dps-train``: adapt a metric to a context, and measure it.

The commands are in `dps_train.commands`; without the name of a command, it trains.
"""

from __future__ import annotations

from typing import NoReturn

import typer

from dps_infer.commands.contexts import contexts
from dps_infer.commands.shared.run import run
from dps_train.commands.distortions import distortions
from dps_train.commands.evaluate import evaluate
from dps_train.commands.judge import judge
from dps_train.commands.options import NAME
from dps_train.commands.study import study
from dps_train.commands.train import train

app = typer.Typer(
    name=NAME,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.callback(invoke_without_command=True)(train)
app.command()(distortions)
app.command()(evaluate)
app.command()(judge)
app.command()(study)
app.add_typer(contexts)


def main() -> NoReturn:
    """Run ``dps-train`` and leave with its exit code."""
    run(app, NAME)


if __name__ == "__main__":
    main()
