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


def begin(github: bool) -> str | None:
    """Keep GitHub from reading file names and other output as commands.

    Returns:
        For `write_outcomes`, the line after which GitHub reads commands again; None without
        ``--github``.
    """
    if not github:
        return None
    from dps_infer.ci.github import stop_commands

    stop, resume = stop_commands()
    run.print_lines([stop])
    return resume


def write_outcomes(
    outcomes: Sequence[Outcome],
    *,
    suite: str,
    seconds: float,
    junit: Path | None,
    resume: str | None,
    force: bool,
) -> None:
    """Write what ``--junit`` and ``--github`` ask for.

    Args:
        outcomes: of all pairs.
        suite: a name for all of them.
        seconds: the time of the run.
        junit: the file of JUnit XML, if any.
        resume: from `begin`.
        force: replace an existing file.

    Raises:
        OutputError: a file cannot be written.
    """
    if junit is not None:
        from dps_infer.ci.junit import write_junit

        write_junit(outcomes, junit, suite=suite, seconds=seconds, force=force)
    if resume is not None:
        from dps_infer.ci.github import SUMMARY, annotation_lines, append_summary, summary

        run.print_lines([resume, *annotation_lines(outcomes)])
        if not append_summary(summary(outcomes, title=suite)):
            run.note(f"no summary of the job: {SUMMARY} is not set")
