"""Kill commands at random moments, or fill their disk, and compare what they write in the end.

``python -m tests.kills [COMMAND...] [--kills N] [--seed N]``
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.commands import COMMANDS, Command, content, files_of
from tests.kills.inputs import make_inputs

AT_A_TIME = 4
"""Kills of one output, before it is completed and compared."""

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PAGE = 20 * 60
"""Seconds after which a command is given up."""


def main() -> int:
    """Run the commands, print a line for each, and return 1 if one lost or left something."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--kills", type=int, default=20, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    for name in options.commands:
        if name not in COMMANDS:
            parser.error(f"expected a command ({', '.join(COMMANDS)}), got {name}")
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs"
        make_inputs(inputs)
        scored = _run(COMMANDS["batch"].line(), inputs)
        if scored.returncode != 0:
            print(f"batch: the command itself fails: {scored.stderr.strip()}")
            return 1
        (inputs / "out.csv").rename(inputs / "results.csv")
        for name in options.commands or COMMANDS:
            draw = random.Random(f"{options.seed} {name}")
            command = COMMANDS[name]
            work = Path(folder) / name
            shutil.copytree(inputs, work)
            started = time.monotonic()
            done = _run(command.line(), work)
            if done.returncode != 0:
                print(f"{name}: the command itself fails: {done.stderr.strip()}")
                return 1
            seconds = time.monotonic() - started
            found = _kill_often(command, inputs, work, seconds, options.kills, draw)
            if command.on_full_disk:
                found += _fill_often(command, inputs, work, options.kills, draw)
            faults += len(found)
            full = f", {options.kills} full disks" if command.on_full_disk else ""
            print(f"{name}: {options.kills} kills{full}: {len(found)} faults", flush=True)
            for fault in found:
                print(f"  {fault}")
            shutil.rmtree(work)
    return int(faults > 0)


def _kill_often(
    command: Command, inputs: Path, whole: Path, seconds: float, kills: int, draw: random.Random
) -> list[str]:
    """Kill a command at random moments; return what went wrong."""
    faults: list[str] = []
    for start in range(0, kills, AT_A_TIME):
        work = _fresh(inputs, whole)
        for number in range(start, min(start + AT_A_TIME, kills)):
            again = number > start
            process = subprocess.Popen(
                command.line(again=again),
                cwd=work,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            time.sleep(draw.uniform(0.02, 1.0) * seconds)
            chosen = draw.choice(SIGNALS)
            os.killpg(process.pid, chosen)
            _, errors = process.communicate(timeout=PAGE)
            allowed = (0, -chosen, 128 + chosen)
            if process.returncode not in allowed or b"Traceback" in errors:
                faults.append(f"kill {number}: exit code {process.returncode}: {errors[-300:]!r}")
            faults += [f"kill {number}: {text}" for text in _appeared(command, work, whole)]
        faults += [f"after kill {start}: {text}" for text in _completed(command, work, whole)]
    return faults


def _fill_often(
    command: Command, inputs: Path, whole: Path, times: int, draw: random.Random
) -> list[str]:
    """Run a command while no file can grow beyond a random size; return what went wrong."""
    largest = max(file.stat().st_size for file in files_of(whole / command.output))
    faults: list[str] = []
    for number in range(times):
        work = _fresh(inputs, whole)
        limit = draw.randrange(largest)
        done = _run(command.line(limit=limit), work)
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        if done.returncode != 1 or len(lines) != 1 or "Traceback" in done.stderr:
            faults.append(f"disk {number} of {limit} bytes: {done.returncode}: {done.stderr!r}")
        if (work / command.output).exists():
            faults.append(f"disk {number}: half of the output is there")
        faults += [f"after disk {number}: {text}" for text in _completed(command, work, whole)]
    return faults


def _appeared(command: Command, work: Path, whole: Path) -> list[str]:
    """Check and remove an output that appeared in spite of a kill: it must be whole."""
    output = work / command.output
    journal = output.with_name(f"{output.name}.part")
    if command.continues or journal.exists() or not output.exists():
        return []
    same = content(output) == content(whole / command.output)
    _remove(output)
    return [] if same else ["half of the output is there"]


def _completed(command: Command, work: Path, whole: Path) -> list[str]:
    """Resume or repeat a command, and compare all that is there with an uninterrupted run."""
    done = _run(command.line(again=True), work)
    if done.returncode != 0:
        return [f"cannot be completed: {done.stderr.strip()}"]
    faults = []
    if content(work / command.output) != content(whole / command.output):
        faults.append("another result than the uninterrupted one")
    names = [{str(path.relative_to(root)) for path in root.rglob("*")} for root in (work, whole)]
    if names[0] != names[1]:
        faults.append(f"left over: {sorted(names[0] - names[1])}, missing: {names[1] - names[0]}")
    return faults


def _fresh(inputs: Path, whole: Path) -> Path:
    """Return a new folder with the inputs, at the same place: paths are part of results."""
    work = whole.with_name(f"{whole.name}-killed")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(inputs, work)
    return work


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(line: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=PAGE)


if __name__ == "__main__":
    sys.exit(main())
