"""Progress of long work, on standard error, and only where a person looks at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with the number of items that are done, and the total."""


def ignore(_done: int, _total: int) -> None:
    """Show no progress."""


@contextmanager
def shown(description: str, unit: str) -> Iterator[Progress]:
    """Give a function that is told how many are done, and of how many.

    Args:
        description: what is done, for people.
        unit: of what, in the plural: the rate is told in it.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f} {unit}/s")

    # A descriptor of its own: decoding turns the process's stderr aside (`dps_infer.images.codec`).
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bar(
            *columns, Rate(), TimeRemainingColumn(), console=Console(file=stream), transient=True
        ) as progress:
            task = progress.add_task(description, total=None)
            first: list[int] = []

            def tell(done: int, total: int) -> None:
                if not first:
                    # What an earlier run has done must not count as this one's speed.
                    first.append(done)
                    progress.reset(task, total=total, completed=done)
                progress.update(task, completed=done, total=total)

            yield tell
