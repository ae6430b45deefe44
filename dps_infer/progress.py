"""Progress of long work on standard error: a live display on a terminal, lines in a log.

Nothing is shown where standard error is closed. Results never go here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    import rich.progress

Item = TypeVar("Item")

Progress = Callable[[int, int], None]
"""Called with the number of items done and their total, 0 if it is unknown."""

FIRST_LINE_AFTER = 5.0
LONGEST_PAUSE = 60.0
"""Seconds before the first line in a log; pauses double from there up to the longest one."""

_displays: list[rich.progress.Progress] = []
"""The display on the terminal, if there is one: nested work adds a line to it."""


@dataclass
class _State:
    """How the running command shows its progress.

    Attributes:
        silent: it shows none.
        step: when it last said what it does, in seconds of the monotonic clock.
        sign: when it last did that or counted an item.
    """

    silent: bool = False
    step: float = 0.0
    sign: float = 0.0


_state = _State()


def set_silent(silent: bool) -> None:
    """Show no progress from now on, or show it again.

    The command lines are silent with ``--quiet``, and while they wait for a person or a program.
    """
    _state.silent = silent


def is_silent() -> bool:
    """Return whether nothing is to be printed: by `set_silent`, or a terminal shows progress."""
    return _state.silent or bool(_displays)


def sign_of_life(*, step: bool = False) -> None:
    """State that an item has been counted or, for a new step, that a line has been printed."""
    _state.sign = time.monotonic()
    if step:
        _state.step = _state.sign


def last_signs() -> tuple[float, float]:
    """Return when the last step began, and when there last was a sign, by the monotonic clock."""
    return _state.step, _state.sign


def ignore(_done: int, _total: int) -> None:
    """Show no progress."""


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items and show progress.

    Args:
        items: the items.
        description: the work, for people.
    """
    with show_progress(description) as report:
        report(0, len(items))
        for done, item in enumerate(items, start=1):
            yield item
            report(done, len(items))


@contextmanager
def show_progress(description: str, unit: str = "") -> Iterator[Progress]:
    """Give a function that reports progress.

    Args:
        description: the work, for people.
        unit: name of the items in the plural, for the rate.
    """
    if _state.silent or sys.stderr is None or sys.stderr.closed:
        yield ignore
    elif sys.stderr.isatty():
        with _line_of_display(sys.stderr, description, unit) as report:
            yield report
    else:
        yield _log_lines(sys.stderr, description, unit)


@contextmanager
def _line_of_display(stream: TextIO, description: str, unit: str) -> Iterator[Progress]:
    with ExitStack() as stack:
        if not _displays:
            _displays.append(stack.enter_context(_display(stream)))
            stack.callback(_displays.clear)
        display = _displays[0]
        task = display.add_task(description, total=None, unit=unit)
        stack.callback(display.remove_task, task)
        begun = False

        def report(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                # Items done by an earlier run must not count in the rate.
                display.reset(task, completed=done)
            begun = True
            display.update(task, completed=done, total=total or None)

        yield report


@contextmanager
def _display(stream: TextIO) -> Iterator[rich.progress.Progress]:
    import rich.progress as widgets
    from rich.console import Console
    from rich.text import Text

    class Rate(widgets.ProgressColumn):
        def render(self, task: widgets.Task) -> Text:
            return Text("" if task.speed is None else _rate(task.speed, task.fields["unit"]))

    columns = (widgets.BarColumn(), widgets.MofNCompleteColumn(), Rate())
    # Its own file descriptor: decoding diverts the process's (`dps_infer.images.codec`).
    with (
        os.fdopen(os.dup(stream.fileno()), "w") as own,
        widgets.Progress(
            "{task.description}",
            *columns,
            widgets.TimeRemainingColumn(),
            console=Console(file=own),
            transient=True,
        ) as display,
    ):
        yield display


def _log_lines(stream: TextIO, description: str, unit: str) -> Progress:
    start = time.monotonic()
    pause, due, before = FIRST_LINE_AFTER, start + FIRST_LINE_AFTER, -1

    def report(done: int, total: int) -> None:
        nonlocal pause, due, before
        # Items done by an earlier run must not count in the rate.
        before = done if before < 0 else before
        sign_of_life()
        now = time.monotonic()
        if now < due:
            return
        pause = min(2 * pause, LONGEST_PAUSE)
        due = now + pause
        progress = f"{done} of {total} ({done / total:.0%})" if total else f"{done}"
        rate = _rate((done - before) / (now - start), unit)
        # A log that cannot be written must not stop the work.
        with suppress(OSError, ValueError):
            print(f"{description}: {progress}, {rate}", file=stream, flush=True)

    return report


def _rate(speed: float, unit: str) -> str:
    return f"{speed:.1f} {unit}/s" if unit else f"{speed:.1f}/s"
