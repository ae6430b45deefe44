"""All three command lines alike: help, examples, groups, quiet, completion, errors in one line."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from dps_infer import progress
from dps_infer.commands.shared import heartbeat, run
from dps_infer.commands.shared.app import PROGRAM

PROGRAMS = {
    "dps-infer": "dps_infer.cli",
    "dps-train": "dps_train.cli",
    "dps-export": "dps_export.cli",
}


def command_line(program: str):
    return typer.main.get_command(importlib.import_module(PROGRAMS[program]).app)


def all_commands(program: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that has a help."""

    def walk(command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*words, name))

    yield from walk(command_line(program), (program,))


COMMANDS = [words for program in PROGRAMS for words in all_commands(program)]


def parse(line: str) -> None:
    """Parse a command line without running it; only what follows a pipe."""
    words = shlex.split(line.rpartition("|")[2])
    command, context, arguments = command_line(words[0]), None, words[1:]
    while True:
        context = command.make_context(words[0], list(arguments), parent=context)
        if not hasattr(command, "commands"):
            return
        arguments = [*getattr(context, "_protected_args", ()), *context.args]
        if not arguments:
            return
        _, command, arguments = command.resolve_command(context, arguments)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_options_examples_and_exit_codes(words, run_main):
    program, *names = words
    code, out, err = run_main(PROGRAMS[program], *names, "-h")
    assert (code, err) == (0, "")
    assert out == run_main(PROGRAMS[program], *names, "--help")[1]
    assert "-q, --quiet" in out
    assert "Exit codes: 0 " in out
    assert PROGRAM not in out
    _, _, rest = out.partition("\n  Examples:\n")
    examples = [line.strip() for line in rest.partition("\n\n")[0].splitlines()]
    assert examples
    for example in examples:
        assert program in example
        parse(example)


def test_wrong_examples_are_found():
    with pytest.raises(Exception, match="No such option"):
        parse("dps-infer compare a.png b.png --rankings color,blur")


def test_commands_are_in_groups(run_main):
    out = run_main("dps_infer.cli", "-h")[1]
    for heading in ("Start:", "Compare images:", "Use results:", "Contexts:"):
        assert f"\n{heading}\n" in out
    assert "\nCommands:\n" not in out


@pytest.mark.parametrize(
    ("program", "arguments", "expected"),
    [
        ("dps-infer", ["compare", "a.png"], "Missing argument 'CANDIDATE...': see"),
        ("dps-infer", ["compare", "--rankng", "a"], "No such option: --rankng"),
        ("dps-infer", ["compair"], "No such command 'compair'. Did you mean 'compare'?"),
        ("dps-infer", ["compare", "a", "b", "--threads", "x"], "Invalid value for '--threads'"),
        ("dps-train", ["--variant", "none"], "Invalid value for '--variant'"),
        ("dps-train", ["evaluate", "--seed"], "requires an argument"),
        ("dps-export", ["--no-such"], "No such option: --no-such"),
    ],
)
def test_usage_errors_are_one_line(run_main, program, arguments, expected):
    code, out, err = run_main(PROGRAMS[program], *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"{program}: error: ")
    assert expected in line
    assert line.endswith(" -h")


@pytest.mark.parametrize("program", PROGRAMS)
def test_shells_get_completions(program):
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    words = {"dps-infer": "compare --con", "dps-train": "--ran", "dps-export": "--ran"}[program]
    line = f"{program} {words}"
    done = subprocess.run(
        [sys.executable, "-m", PROGRAMS[program].partition(".")[0]],
        env={
            variable: "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert {"--context", "--ranking"} & {*done.stdout.split()}, done.stderr


def test_quiet_leaves_errors_only(run_main, tmp_path):
    for arguments in (["--quiet", "info", "no.onnx"], ["info", "no.onnx", "-q"]):
        code, out, err = run_main("dps_infer.cli", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith("dps-infer: error: no.onnx: no such file")
    assert not progress.is_silent() or run_main("dps_infer.cli", "--version")


def test_quiet_ends_with_the_command(capsys):
    run.be_quiet(True)
    run.note("unheard")
    run.be_quiet(False)
    run.note("heard")
    assert capsys.readouterr().err == "dps-infer: note: heard\n"


# --- Signs of life ----------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Make time pass quickly for the watch; seconds are real."""
    monkeypatch.setattr(heartbeat, "TICK", 0.01)
    monkeypatch.setattr(progress, "FIRST_LINE_AFTER", 0.1)
    progress.set_silent(False)


def watched(seconds: float, between) -> list[str]:
    import time

    lines: list[str] = []
    with heartbeat.signs_of_life(lines.append):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            between()
            time.sleep(0.005)
    return lines


def test_silence_is_broken_less_and_less_often(clock):
    lines = watched(1.0, lambda: None)
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("still working: ") for line in lines)


def test_work_that_shows_itself_is_not_disturbed(clock):
    assert watched(0.4, progress.sign_of_life) == []


def test_counted_work_makes_the_pauses_longer_and_a_new_step_shorter(clock):
    """Progress now and then must not start the short pauses again."""
    progress.sign_of_life(step=True)
    moments = iter(range(1000))
    lines = watched(1.2, lambda: next(moments) % 40 == 39 and progress.sign_of_life())
    assert 1 <= len(lines) <= 4
    steps = watched(1.2, lambda: next(moments) % 40 == 39 and progress.sign_of_life(step=True))
    assert all(line == "still working: 0 s" for line in steps)


def test_silent_work_stays_silent(clock):
    progress.set_silent(True)
    try:
        assert watched(0.4, lambda: None) == []
    finally:
        progress.set_silent(False)
