"""A short run of every fuzz target. ``python -m tests.fuzz`` runs them for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits memory as POSIX does")


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_is_handled_wrongly(target):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " inputs: " in done.stdout
    assert " 0 failures" in done.stdout
