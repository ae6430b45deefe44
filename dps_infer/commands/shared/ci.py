"""Options for continuous integration, and what they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared import run

if TYPE_CHECKING:
    from dps_infer.ci.outcome import Outcome

JunitOption = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Also write the outcome of every pair as JUnit XML, which most CI servers show.",
    ),
]
GithubOption = Annotated[
    bool,
    typer.Option(
        "--github",
        help="In GitHub Actions: annotate the files that did not pass, and add the worst pairs to "
        "the summary of the job.",
    ),
]


def write_outcomes(
    outcomes: Sequence[Outcome],
    *,
    suite: str,
    seconds: float,
    junit: Path | None,
    github: bool,
    force: bool,
) -> None:
    """Write what ``--junit`` and ``--github`` ask for.

    Raises:
        OutputError: a file cannot be written.
    """
    if junit is not None:
        from dps_infer.ci.junit import write_junit

        write_junit(outcomes, junit, suite=suite, seconds=seconds, force=force)
    if github:
        from dps_infer.ci.github import SUMMARY, annotation_lines, append_summary, summary

        for line in annotation_lines(outcomes):
            # Line breaks are escaped already.
            run.print_lines([line])
        if not append_summary(summary(outcomes, title=suite)):
            run.note(f"no summary of the job: {SUMMARY} is not set")
