"""Progress of long work, on standard error, and only where a person looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_shown: list[Progress] = []
"""The display on standard error, where there is one: work within work is a line of it."""


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items, showing how far along they are when standard error is a terminal."""
    if _shown:
        yield from _line(_shown[0], items, description)
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        _shown.append(progress)
        try:
            yield from _line(progress, items, description)
        finally:
            _shown.clear()


def _line(progress: Progress, items: Sequence[Item], description: str) -> Iterator[Item]:
    task = progress.add_task(description, total=len(items))
    try:
        for item in items:
            yield item
            progress.advance(task)
    finally:
        progress.remove_task(task)
