"""Progress: a display on a terminal, lines in a log, nothing on a closed stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading

import pytest
from infer_helpers import python

from dps_infer import progress
from dps_infer.progress import show_progress, track


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "FIRST_LINE_AFTER", 5.0)
    return clock


def test_short_work_leaves_nothing_in_a_log(clock, capsys):
    for _ in track(range(10), "work"):
        clock.now += 0.4
    assert capsys.readouterr().err == ""


def test_long_work_leaves_a_line_now_and_then(clock, capsys):
    for item in track(range(400), "work"):
        assert item == int(clock.now - 1000)
        clock.now += 1
    assert capsys.readouterr().err.splitlines() == [
        "work: 5 of 400 (1%), 1.0/s",
        "work: 15 of 400 (4%), 1.0/s",
        "work: 35 of 400 (9%), 1.0/s",
        "work: 75 of 400 (19%), 1.0/s",
        "work: 135 of 400 (34%), 1.0/s",
        "work: 195 of 400 (49%), 1.0/s",
        "work: 255 of 400 (64%), 1.0/s",
        "work: 315 of 400 (79%), 1.0/s",
        "work: 375 of 400 (94%), 1.0/s",
    ]


def test_resumed_work_counts_only_new_items_in_the_rate(clock, capsys):
    with show_progress("scoring", "pairs") as report:
        report(900, 1000)
        clock.now += 10
        report(950, 1000)
    assert capsys.readouterr().err == "scoring: 950 of 1000 (95%), 5.0 pairs/s\n"


def test_an_unknown_total_has_no_percentage(clock, capsys):
    with show_progress("comparing", "frames") as report:
        report(0, 0)
        clock.now += 10
        report(25, 0)
    assert capsys.readouterr().err == "comparing: 25, 2.5 frames/s\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("closed")])
def test_a_log_that_cannot_be_written_does_not_stop_the_work(clock, monkeypatch, error):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stderr", Full())
    for _ in track(range(3), "work"):
        clock.now += 10


@pytest.mark.parametrize("closed", [True, False])
def test_nothing_is_shown_where_standard_error_is_closed(clock, monkeypatch, closed):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    done = []
    for item in track(range(3), "work"):
        clock.now += 10
        done.append(item)
    assert done == [0, 1, 2]


def test_a_process_without_standard_error_works():
    program = (
        "import sys; from dps_infer import progress; progress.FIRST_LINE_AFTER = 0; "
        "print(sys.stderr, list(progress.track(range(3), 'work')))"
    )
    without_stderr = "import os, sys; os.close(2); os.execv(sys.executable, sys.argv[1:])"
    done = python("-c", without_stderr, "python", "-c", program)
    assert done.stdout == "None [0, 1, 2]\n"


def on_terminal(monkeypatch, work) -> str:
    """Return the text that `work` writes to standard error, a terminal."""
    pty = pytest.importorskip("pty")
    main, other = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    received: list[bytes] = []

    def receive() -> None:
        # Reading fails, or gives nothing, once the other end is closed.
        with contextlib.suppress(OSError):
            while data := os.read(main, 1 << 16):
                received.append(data)

    reader = threading.Thread(target=receive)
    reader.start()
    with open(other, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        work()
    reader.join()
    os.close(main)
    return b"".join(received).decode()


def test_a_terminal_has_a_display_with_the_rate(monkeypatch):
    def work() -> None:
        with show_progress("scoring", "pairs") as report:
            for done in range(5):
                report(done, 4)
            progress._displays[0].refresh()

    text = on_terminal(monkeypatch, work)
    assert "scoring" in text
    assert "4/4" in text
    assert "pairs/s" in text


def test_nested_work_is_a_line_of_the_same_display(monkeypatch):
    def work() -> None:
        for _ in track(range(2), "outer"):
            for _ in track(range(3), "inner"):
                (display,) = progress._displays
                assert [task.description for task in display.tasks] == ["outer", "inner"]
                display.refresh()
        assert progress._displays == []

    text = on_terminal(monkeypatch, work)
    assert "outer" in text
    assert "inner" in text


def test_work_that_is_broken_off_ends_its_display(monkeypatch):
    def work() -> None:
        with pytest.raises(KeyError), show_progress("scoring"):
            raise KeyError
        assert progress._displays == []

    on_terminal(monkeypatch, work)
