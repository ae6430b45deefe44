"""Outputs of commands in the pages: run the commands, and compare or replace what is shown.

A block of commands that is followed by a ``text`` block, with nothing between them, shows its
output. So does one of Python in a tutorial.

    python tests/docs_outputs.py                           # replace the outputs of all such pages
    python tests/docs_outputs.py docs/tutorials/video.md   # of one
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Run as a script, or imported by path.
sys.path.insert(0, str(Path(__file__).parent))

from docs_helpers import (
    PAGES,
    ROOT,
    TUTORIALS,
    Block,
    Command,
    all_blocks,
    block_commands,
    page_name,
)

PROGRAMS = {
    "dps-infer": "dps_infer.cli",
    "dps-train": "dps_train.cli",
    "dps-export": "dps_export.cli",
}
ABOVE_THRESHOLD = 3

TOO_EXPENSIVE = {
    r"dps-train (?!contexts|distortions|evaluate|judge|study|--triplets judged/)": (
        "trains for minutes"
    ),
    r"dps-train evaluate (embedded|runs/(?!mine))": "takes minutes, or a trained run",
    r"dps-train judge": "waits for a person",
    r"dps-train study": "trains for minutes or hours",
    r"dps-export .*runs/": "exports with PyTorch for a minute; tests/export does",
    r"dps-export .*--precision": "compares precisions for a minute; tests/export does",
    r"dps-infer demo --page": "serves until it is stopped; tests/infer/commands/test_start",
    r"dps-infer .*jpeg,": "needs a metric that was trained on another distortion",
    r"python examples/shifted_pairs.py": "trains networks for minutes",
    r"python examples/tutorials/web_pages.py": "renders hundreds of pages in a browser",
}
"""Regular expressions at the start of commands that are parsed and not run, with the reasons."""

NUMBER = re.compile(r"\d+(?:\.\d+)?")


def too_expensive(command: Command) -> str | None:
    line = " ".join(command.words)
    return next((why for start, why in TOO_EXPENSIVE.items() if re.match(start, line)), None)


def runs(command: Command) -> bool:
    return command.words[0] not in ("pip", "make") and too_expensive(command) is None


def allowed_codes(words: tuple[str, ...]) -> tuple[int, ...]:
    return (0, ABOVE_THRESHOLD) if {"--threshold", "--config"} & {*words} else (0,)


def with_output(page: Path) -> Iterator[tuple[Block, Block | None]]:
    """The blocks of commands of a page, each with the output that is shown below it.

    They end with the last one that shows an output.
    """
    found = list(all_blocks(page))
    pairs: list[tuple[Block, Block | None]] = []
    for block, following in itertools.zip_longest(found, found[1:]):
        if block.language == "sh" or (block.language == "python" and page in TUTORIALS):
            shown = following is not None and following.language == "text" and following.adjacent
            pairs.append((block, following if shown else None))
    while pairs and pairs[-1][1] is None:
        pairs.pop()
    yield from pairs


def pages_with_output() -> list[Path]:
    return [page for page in PAGES if any(with_output(page))]


def run_page(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run the commands of a page in a new folder; yield each shown output, and the true one.

    The folder holds the examples of the project and nothing else, as a new checkout would.
    """
    shutil.copytree(ROOT / "examples", folder / "examples")
    for block, shown in with_output(page):
        if block.language == "python":
            lines = [("python", "-c", block.content)]
        else:
            lines = [c.words for c in block_commands(page, block) if runs(c)]
        outputs = [run_as_user(words, folder).stdout for words in lines]
        if shown is not None:
            yield shown, "".join(outputs)


def run_as_user(words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, in a process of its own, with nothing on standard input."""
    program = [sys.executable]
    program += ["-m", PROGRAMS[words[0]]] if words[0] in PROGRAMS else []
    result = subprocess.run(
        [*program, *words[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        # No contexts of the user's own.
        env={**os.environ, "DPS_CONTEXTS": str(folder / "saved-contexts")},
    )
    assert result.returncode in allowed_codes(words), (
        f"{' '.join(words)}\n{result.stdout}{result.stderr}"
    )
    return result


def assert_same(output: str, shown: str) -> None:
    """Assert that two outputs have the same words, and numbers that differ by rounding.

    Processors and versions round differently: 5 % of a number, or one in the last digit of those
    with two decimals. Numbers of bytes and of seconds are numbers, too.
    """
    assert NUMBER.sub("#", output).split() == NUMBER.sub("#", shown).split()
    for value, stated in zip(NUMBER.findall(output), NUMBER.findall(shown), strict=True):
        assert float(value) == pytest.approx(float(stated), rel=0.05, abs=0.011)


def renew(page: Path) -> bool:
    """Replace the outputs of a page by the true ones; say whether that changed it."""
    before = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        found = list(run_page(page, Path(folder)))
    text = before
    for shown, output in reversed(found):
        text = f"{text[: shown.start]}```text\n{output.rstrip()}\n```{text[shown.end :]}"
    page.write_text(text, encoding="utf-8")
    return text != before


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]] or pages_with_output():
        print(f"{page_name(path)}: {'renewed' if renew(path) else 'as it was'}", flush=True)
