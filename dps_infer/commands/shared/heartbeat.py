"""A sign of life in the silence of long work: a line on standard error, less and less often.

Work that counts its items shows its progress itself (`dps_infer.progress`). Other steps, such as
tracing a graph, cannot be counted; the line before says which step it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dps_infer import progress

TICK = 0.5
"""Seconds between two looks at the clock."""


@contextmanager
def signs_of_life(say: Callable[[str], None]) -> Iterator[None]:
    """Print a line whenever there has been neither a line nor progress for a while.

    Args:
        say: prints one line; called from another thread.
    """
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(say, ended), name="dps-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()


def _watch(say: Callable[[str], None], ended: threading.Event) -> None:
    begun = activity = time.monotonic()
    pause = progress.FIRST_LINE_AFTER
    while not ended.wait(TICK):
        step, sign = progress.last_signs()
        if step > begun:
            begun, pause = step, progress.FIRST_LINE_AFTER
        activity = max(activity, sign)
        now = time.monotonic()
        if now >= activity + pause and not progress.is_silent():
            say(f"still working: {now - begun:.0f} s")
            activity = time.monotonic()
            pause = min(2 * pause, progress.LONGEST_PAUSE)
