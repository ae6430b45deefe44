"""Run a command line: print its output and its errors, and exit with its code.

Exit codes: 0 done, 1 something broke, 2 wrong usage, 130 interrupted (Ctrl-C), 143 ended by
SIGTERM, 129 by SIGHUP; a command may define more. A command that is interrupted or ended removes
what it has not finished. An error is one line on stderr; invalid data get a line per problem. Only
results go to stdout.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Annotated, Any, NoReturn

import typer

from dps_infer import progress
from dps_infer.commands.shared.heartbeat import signs_of_life
from dps_infer.commands.shared.process import (
    INTERRUPTED,
    ended_by_signals,
    flush_stderr,
    is_of_stdout,
    prepare_streams,
    silence_stdout,
    stdout_fault,
    was_interrupted,
)
from dps_infer.errors import DpsError
from dps_infer.extras import how_to_install

_program = ContextVar("program", default="dps-infer")

_quiet = False
"""Whether notes and progress are left out. A value of the process: other threads print, too."""

# Typer brings a click of its own, or uses the package.
_ClickError: Any = next(k for k in typer.BadParameter.__mro__ if k.__name__ == "ClickException")

DebugOption = Annotated[
    bool, typer.Option("--debug", help="When something fails, show the full traceback as well.")
]
"""Declared by every command, but read by `run`: it also covers failures before the function of the
command is called."""


def run(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line and exit the process with its code.

    Args:
        app: made with ``pretty_exceptions_enable=False``.
        name: the name of the program, at the start of every line on stderr.
    """
    prepare_streams()
    _program.set(name)
    be_quiet(False)
    with ended_by_signals() as received:
        code = _run(app, name)
    if code == INTERRUPTED and received:
        code = 128 + received[0]
    try:
        fault = stdout_fault()
    except BrokenPipeError:
        fault = None
        silence_stdout()
        code = 1
    if fault is not None:
        _say(name, _cannot_print(fault))
        code = 1
    flush_stderr()
    sys.exit(code)


def program_name() -> str:
    """Return the name of the running program, for commands that several programs share."""
    return _program.get()


def be_quiet(wanted: bool) -> None:
    """From now on, print results and errors only, or notes and progress too."""
    global _quiet
    _quiet = wanted
    progress.set_silent(wanted)


def say(name: str, *lines: str) -> None:
    """Print lines for people on stderr, each after the name of the program; none if quiet."""
    if not _quiet:
        _say(name, *lines)
        progress.sign_of_life(step=True)


def _say(name: str, *lines: str) -> None:
    for line in lines:
        # A standard error that cannot be written must not stop the work.
        with contextlib.suppress(OSError):
            typer.echo(f"{name}: {one_line(line)}", err=True)


def note(text: str) -> None:
    """Print a note of the running program on stderr."""
    say(program_name(), f"note: {text}")


def print_lines(lines: Iterable[str]) -> None:
    """Print results for people on stdout."""
    for line in lines:
        typer.echo(printable(line))


def print_json(value: Any) -> None:
    """Print results as JSON on stdout, every number at full precision."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def one_line(text: str) -> str:
    """Return the text as one printable line; line breaks and runs of spaces become one space."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Return the text with its control characters escaped.

    File names, manifests and messages of other libraries are untrusted: they may contain
    sequences that control the reader's terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _run(app: typer.Typer, name: str) -> int:
    debug = "--debug" in sys.argv[1:]
    try:
        with signs_of_life(lambda line: _say(name, line)):
            code = app(prog_name=name, standalone_mode=False)
        # Typer returns the exit code of a command that ended with one.
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except _ClickError as error:
        return _wrong_usage(error, name)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone; there is nobody to report to.
        silence_stdout()
        return 1
    except DpsError as error:
        if was_interrupted(error):
            return INTERRUPTED
        if debug:
            traceback.print_exc()
        _say(name, *(f"error: {line}" for line in error.lines))
        return error.exit_code
    except MemoryError:
        if debug:
            traceback.print_exc()
        _say(name, "error: not enough memory: use smaller images or a machine with more")
        return 1
    except Exception as error:
        if was_interrupted(error):
            return INTERRUPTED
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and is_of_stdout(error):
            silence_stdout()
            _say(name, _cannot_print(error.strerror or str(error)))
            return 1
        if isinstance(error, ModuleNotFoundError) and (command := how_to_install(error.name)):
            _say(name, f"error: this needs {error.name}, which is not installed: {command}")
            return 1
        hint = "" if debug else "; run it again with --debug to see where, and report it"
        _say(name, f"error: unexpected {type(error).__name__}: {error}{hint}")
        return 1


def _wrong_usage(error: Any, name: str) -> int:
    """Print what is wrong with a command line, in one line; a group alone shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        context = getattr(error, "ctx", None)
        command = name if context is None else context.command_path
        text = error.format_message().strip().rstrip(".")
        _say(name, f"error: {text}: see {command} -h")
    return int(error.exit_code)


def _cannot_print(fault: str) -> str:
    return f"error: cannot write to standard output: {fault}"
