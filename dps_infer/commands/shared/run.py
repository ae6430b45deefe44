"""Run a command line, print its errors, and leave with its exit code.

Exit codes: 0 done, 1 something broke, 2 usage, 130 interrupted; a command may define more. An
error is one line on stderr; data that are wrong in several places get a line for each. Only
results go to stdout.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from contextvars import ContextVar
from typing import Annotated, NoReturn

import typer

from dps_infer.errors import DpsError
from dps_infer.extras import how_to_install

_program = ContextVar("program", default="dps-infer")

DebugOption = Annotated[
    bool, typer.Option("--debug", help="When something fails, show the full traceback as well.")
]
"""Every command declares it. `run` looks for the flag itself, so that it also covers failures
before the command's own function is called."""


def run(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and leave the process with its exit code.

    Args:
        app: made with ``pretty_exceptions_enable=False``.
        name: the program's name, as it begins every line on stderr.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot show must not turn a result into a failure.
        sys.stdout.reconfigure(errors="backslashreplace")
    _program.set(name)
    code = _run(app, name)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        code = 1
    sys.exit(code)


def program_name() -> str:
    """Return the name of the command line that runs, for commands that several share."""
    return _program.get()


def say(name: str, text: str) -> None:
    """Print one line for people on stderr."""
    typer.echo(f"{name}: {one_line(text)}", err=True)


def one_line(text: str) -> str:
    """Return the text as one printable line; breaks and runs of blanks become one blank."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Return the text with its control characters escaped.

    File names, manifests and messages of other libraries come from outside: they may hold
    sequences that would drive the reader's terminal.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _run(app: typer.Typer, name: str) -> int:
    debug = "--debug" in sys.argv[1:]
    try:
        app(prog_name=name)
    except SystemExit as leaving:
        # Typer leaves this way, after its own messages: results, help and usage errors.
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody to report to.
        _silence_stdout()
        return 1
    except DpsError as error:
        if debug:
            traceback.print_exc()
        for line in error.lines:
            say(name, f"error: {line}")
        return error.exit_code
    except MemoryError:
        if debug:
            traceback.print_exc()
        say(name, "error: not enough memory: use smaller images or a machine with more")
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, ModuleNotFoundError) and (command := how_to_install(error.name)):
            say(name, f"error: this needs {error.name}, which is not installed: {command}")
            return 1
        hint = "" if debug else "; run it again with --debug to see where, and report it"
        say(name, f"error: unexpected {type(error).__name__}: {error}{hint}")
        return 1
    return 0


def _silence_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
