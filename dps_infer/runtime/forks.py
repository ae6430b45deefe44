"""Keep forks out of libraries that hold locks: onnxruntime, and the decoders of images.

A child has copies of the locks inside them, which no thread of its own releases: a fork waits until
no thread is inside, and none enters meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Counts the threads inside a library, and lets none in while a fork waits or happens."""

    def __init__(self) -> None:
        self.reopen()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.close, after_in_parent=self.open, after_in_child=self.reopen
            )

    def reopen(self) -> None:
        """Forget all threads: in a child, there are none but the one that forked."""
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside during the block, which must not enter again."""
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Wait until no thread is inside, and let none enter."""
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._forking = True
            while self._inside:
                self._changed.wait()

    def open(self) -> None:
        """Let threads enter again."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()
