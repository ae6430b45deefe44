"""The command line ``dps-train``: adapt a metric to a context, and measure it.

The commands are in `dps_train.commands`; without the name of a command, it trains.
"""

from __future__ import annotations

from typing import NoReturn

from dps_infer.commands.contexts import contexts
from dps_infer.commands.shared.app import add, epilog, make_app
from dps_infer.commands.shared.options import EXIT_CODES
from dps_infer.commands.shared.run import run
from dps_train.commands.distortions import distortions
from dps_train.commands.evaluate import evaluate
from dps_train.commands.judge import judge
from dps_train.commands.options import NAME
from dps_train.commands.study import study
from dps_train.commands.train import train

EXAMPLES = {
    "": (
        "dps-train --ranking color,translate,zoom,rotate,darken,blur --out runs/mine",
        "dps-train --importance color=0.1,blur=5 --data photos/ --out runs/mine",
        "dps-train --triplets judgements.csv --data photos/",
    ),
    "evaluate": (
        "dps-train evaluate runs/mine --data other-photos/",
        "dps-train evaluate embedded --ladders --data photos/",
    ),
    "judge": ("dps-train judge photos/ --out judgements.csv",),
    "distortions": (
        "dps-train distortions",
        "dps-train distortions photo.jpg --sheet sheet.png",
    ),
    "study": ("dps-train study --out study/ --rankings 10",),
}

GROUPS = {
    "Measure": ((evaluate, "Measure a metric on images that it has not seen."),),
    "Find out what matters": (
        (judge, "Collect judgements on a local web page."),
        (distortions, "List the distortions, or draw them on an image."),
    ),
    "Research": ((study, "Run the paper's experiment."),),
}
"""The commands with what they are for, by their headings in the help."""

app = make_app(name=NAME, epilog=epilog(EXAMPLES[""], EXIT_CODES), add_completion=True)

app.callback(invoke_without_command=True)(train)
for group, commands in GROUPS.items():
    for command, purpose in commands:
        add(
            app,
            command,
            examples=EXAMPLES[command.__name__],
            exit_codes=EXIT_CODES,
            group=group,
            purpose=purpose,
        )
app.add_typer(
    contexts,
    rich_help_panel="Find out what matters",
    short_help="List, show, compare, merge, and save contexts.",
)


def main() -> NoReturn:
    """Run ``dps-train`` and leave with its exit code."""
    run(app, NAME)


if __name__ == "__main__":
    main()
