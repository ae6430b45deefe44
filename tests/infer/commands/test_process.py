"""The process of a command: closed and full streams, signals, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from infer_helpers import encode, without_progress

MAIN = "from dps_infer.cli import main; main()"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tests shells and signals of POSIX")


@pytest.fixture
def pair(tmp_path, photo):
    for name, pixels in (("a.png", photo), ("b.png", np.roll(photo, 1, axis=1))):
        (tmp_path / name).write_bytes(encode(".png", pixels))
    return [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def shell(redirection: str, *arguments: object, buffered: bool = True):
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("command", ["compare", "info", "serve"])
def test_results_that_cannot_be_printed_are_one_line(
    pair, context_path, command, redirection, buffered
):
    if redirection == ">/dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    arguments = {
        "compare": ["compare", *pair, "--context", context_path],
        "info": ["info", context_path],
        "serve": ["serve", "--stdio", "--context", context_path],
    }
    done = shell(f"</dev/null {redirection}", *arguments[command], buffered=buffered)
    assert done.returncode == 1
    (line,) = [line for line in without_progress(done.stderr) if "computed by" not in line]
    assert line.startswith("dps-infer: error: cannot write to standard output: ")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_results_do_not_need_the_other_streams(pair, context_path, redirection):
    done = shell(redirection, "compare", *pair, "--context", context_path)
    assert done.returncode == 0
    assert done.stdout == shell("", "compare", *pair, "--context", context_path).stdout
    assert done.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_command_that_is_ended_leaves_a_journal_and_nothing_else(
    tmp_path, pair, context_path, number, code
):
    pairs, output = tmp_path / "pairs.csv", tmp_path / "out.csv"
    pairs.write_text("reference,candidate\n" + "a.png,b.png\n" * 200_000)
    command = ["batch", pairs, "-o", output, "--context", context_path, "--batch-size", "8"]
    # The tests may run where a signal is ignored, as behind nohup or in the background of a shell.
    handler = "default_int_handler" if number == signal.SIGINT else "SIG_DFL"
    heard = f"import signal; signal.signal({int(number)}, signal.{handler}); "
    process = subprocess.Popen(
        [sys.executable, "-c", heard + MAIN, *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "out.csv.part"
    with process:
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.stat().st_size > 10_000):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted: the same command with --resume continues" in errors
    assert "Traceback" not in errors
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"a.png", "b.png", context_path.name} == {"out.csv.part", "pairs.csv"}


def test_a_signal_that_the_parent_ignores_stays_ignored(cli, pair, context_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli("compare", *pair, "--context", context_path).code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
