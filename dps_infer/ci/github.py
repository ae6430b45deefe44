"""Outcomes for GitHub Actions: annotations of files, and a summary of the job.

Annotations are workflow commands on standard output, as GitHub documents them: in a message, ``%``
and line breaks are escaped, and in a property ``:`` and ``,`` too. File names come from others, so
everything else is printed while commands are stopped.
"""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dps_infer.ci.outcome import Outcome, State
from dps_infer.files.write import cannot_write

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that summaries are appended to."""
WORKSPACE = "GITHUB_WORKSPACE"

MOST_ANNOTATIONS = 10
"""GitHub shows that many errors of a step."""
MOST_ROWS = 20
"""Rows of a summary, of which GitHub takes 1 MiB."""

_ORDER = list(State)


def annotation_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a workflow command for each pair that did not pass, the worst first.

    Of more than `MOST_ANNOTATIONS`, the last command counts the others.
    """
    bad = [outcome for outcome in _sorted(outcomes) if outcome.state is not State.passed]
    most = MOST_ANNOTATIONS if len(bad) <= MOST_ANNOTATIONS else MOST_ANNOTATIONS - 1
    lines = [
        f"::error file={_property(_in_repository(outcome.file))},"
        f"title={_property(f'{outcome.name}: {outcome.state.value}')}::{_data(outcome.message)}"
        for outcome in bad[:most]
    ]
    if len(bad) > most:
        lines.append(f"::error title=dps-infer::and {len(bad) - most} more that did not pass")
    return lines


def stop_commands() -> tuple[str, str]:
    """Return two lines: after the first, GitHub reads nothing as a command until the second."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}", f"::{token}::"


def summary(outcomes: Sequence[Outcome], *, title: str) -> str:
    """Return the summary of a job in Markdown: counts, and a table of the worst pairs."""
    counts = Counter(outcome.state for outcome in outcomes)
    parts = [f"{counts[state]} {state.value}" for state in _ORDER if counts[state]]
    lines = [f"### {_cell(title)}", "", f"{len(outcomes)} pairs: {', '.join(parts) or 'none'}", ""]
    shown = _sorted(outcomes)[:MOST_ROWS]
    if shown:
        lines += ["| pair | outcome | distance | threshold | |", "|---|---|---|---|---|"]
    for outcome in shown:
        numbers = (outcome.distance, outcome.threshold)
        cells = [
            outcome.name,
            outcome.state.value,
            *("" if number is None else f"{number:.3g}" for number in numbers),
            outcome.message,
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    if len(outcomes) > len(shown):
        lines += ["", f"and {len(outcomes) - len(shown)} more"]
    return "\n".join(lines) + "\n\n"


def append_summary(text: str) -> bool:
    """Append to the summary of the job; False if this is no job, and there is none.

    Raises:
        OutputError: the file cannot be written.
    """
    name = os.environ.get(SUMMARY)
    if not name:
        return False
    try:
        # GitHub collects what the steps append, so the file is not replaced.
        with Path(name).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError as error:
        raise cannot_write(Path(name), error) from None
    return True


def _sorted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the worst first: failures, errors, and then those that passed."""
    return sorted(outcomes, key=lambda one: (_ORDER.index(one.state), -one.badness))


def _in_repository(file: str) -> str:
    """Return a path relative to the checkout, as annotations name it, if it is in there."""
    root = os.environ.get(WORKSPACE) or os.getcwd()
    relative = os.path.relpath(os.path.realpath(file), os.path.realpath(root))
    return file if relative.startswith("..") else Path(relative).as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    """Return text for a cell of a table that is shown as it is."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$@&-])", r"\\\1", plain)
