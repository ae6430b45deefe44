"""The process of a command: how it starts, its standard streams, and its signals."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""


def start(module: str) -> NoReturn:
    """Load the module of a command line and run its `main`; Ctrl-C ends both quietly."""
    try:
        main = importlib.import_module(module).main
    except (Exception, KeyboardInterrupt) as error:
        if not was_interrupted(error):
            raise
        sys.exit(INTERRUPTED)
    sys.exit(main())


def was_interrupted(error: BaseException | None) -> bool:
    """Return whether an error was caused by Ctrl-C.

    A native module that is interrupted while it loads raises an `ImportError` from it.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__
    return False


def prepare_streams() -> None:
    """Give a process whose standard streams are closed others in their place.

    Otherwise the next file that is opened takes the number of a standard stream, and whatever a
    native library prints goes there. Output to a closed standard output fails, as on a full disk.
    """
    modes = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
    for descriptor, mode in modes.items():
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Closed()), encoding="utf-8", line_buffering=True
        )
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot show must not turn a result into a failure.
        sys.stdout.reconfigure(errors="backslashreplace")


def stdout_fault() -> str | None:
    """Return why standard output cannot be written, or None; then nothing more is written to it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        silence_stdout()
        return error.strerror or str(error)
    return None


def is_of_stdout(error: OSError) -> bool:
    """Return whether an error came from writing to standard output.

    It names no file, and errors of writing to files are `dps_infer.errors.OutputError`.
    """
    return error.filename is None and error.errno in _WRITING


_WRITING = (None, errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)


def silence_stdout() -> None:
    """Prevent an error message about standard output when the interpreter flushes it at exit."""
    _discard(1)
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(
        getattr(sys.stdout.buffer, "raw", None), _Closed
    ):
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)


def flush_stderr() -> None:
    """Flush standard error; one that cannot be written must not change the exit code."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(2)


def _discard(descriptor: int) -> None:
    """Discard whatever is written to a standard stream from now on."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[list[int]]:
    """End like Ctrl-C when asked to end, so that nothing half-done is left behind.

    Yields:
        The signals received so far. Signals that the parent process has blocked, as ``nohup``
        does, stay blocked.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def end(number: int, _frame: object) -> None:
        # What is left to do takes moments, and must not be disturbed.
        signal.signal(number, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in numbers:
            signal.signal(number, end)
        yield received
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


class _Closed(io.RawIOBase):
    """A standard output that is closed."""

    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError("it is closed")
