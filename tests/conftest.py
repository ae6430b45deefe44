"""Fixtures of all tests: a command line, run in this process."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator

import pytest

LONGEST = ("test_export.py", "test_quality.py", "test_custom_cli.py", "test_layer_presets.py")
"""Files that take a minute or more. They start first, so that no process ends long after others."""

Command = Callable[..., tuple[int, str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def no_progress_lines() -> Iterator[None]:
    """Write no lines of progress, which would depend on the machine's speed."""
    # Not the fixture `monkeypatch`: set up here, it would be undone after the fixtures of a test,
    # and restore values that those had replaced.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dps_infer.progress.FIRST_LINE_AFTER", math.inf)
        yield


@pytest.fixture
def run_main(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a module's `main` with arguments, down to its file descriptors: code, out and err."""

    def run(module: str, *arguments: object) -> tuple[int, str, str]:
        main = importlib.import_module(module).main
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return leaving.value.code, captured.out, captured.err

    return run
