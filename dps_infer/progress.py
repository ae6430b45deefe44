"""Progress of long work on standard error: a live display on a terminal, lines in a log.

Nothing is shown where standard error is closed. Results never go here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Display

Item = TypeVar("Item")

Progress = Callable[[int, int], None]
"""Called with the number of items done and their total, 0 if it is unknown."""

FIRST_LINE_AFTER = 5.0
"""Seconds until the first line in a log. Each later pause is twice as long, up to a minute."""
LONGEST_PAUSE = 60.0

_displays: list[Display] = []
"""The display on the terminal, if there is one: nested work adds a line to it."""


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
    if sys.stderr is None or sys.stderr.closed:
        yield ignore
    elif sys.stderr.isatty():
        with _line_of_display(sys.stderr, description, unit) as report:
            yield report
    else:
        yield _Log(sys.stderr, description, unit).report


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
                begun = True
                # Items done by an earlier run must not count in the speed.
                display.reset(task, total=total or None, completed=done)
            display.update(task, completed=done, total=total or None)

        yield report


@contextmanager
def _display(stream: TextIO) -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Display
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else _rate(task.speed, task.fields["unit"]))

    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    # Its own file descriptor: decoding diverts the process's (`dps_infer.images.codec`).
    with (
        os.fdopen(os.dup(stream.fileno()), "w") as own,
        Display(*columns, console=Console(file=own), transient=True) as display,
    ):
        yield display


class _Log:
    """The lines in a log about one piece of work."""

    def __init__(self, stream: TextIO, description: str, unit: str) -> None:
        self._stream = stream
        self._description = description
        self._unit = unit
        self._start = time.monotonic()
        self._done_before: int | None = None
        self._pause = FIRST_LINE_AFTER
        self._next = self._start + self._pause

    def report(self, done: int, total: int) -> None:
        """Write a line if the last one is long enough ago."""
        if self._done_before is None:
            # Items done by an earlier run must not count in the speed.
            self._done_before = done
        now = time.monotonic()
        if now < self._next:
            return
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._next = now + self._pause
        progress = f"{done} of {total} ({done / total:.0%})" if total else f"{done}"
        rate = _rate((done - self._done_before) / (now - self._start), self._unit)
        # A log that cannot be written must not stop the work.
        with contextlib.suppress(OSError, ValueError):
            print(f"{self._description}: {progress}, {rate}", file=self._stream, flush=True)


def _rate(speed: float, unit: str) -> str:
    return f"{speed:.1f} {unit}/s" if unit else f"{speed:.1f}/s"
