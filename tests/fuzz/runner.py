"""Run a target in a process of its own, with limits of time and memory for each input."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from dps_infer.errors import DpsError
from tests.fuzz.target import load_target

MOST_SECONDS = 5.0
"""An input that takes longer is a failure."""
MOST_BYTES = 1 << 30
"""Peak memory above that of the started process; more is a failure."""
_ADDRESS_SPACE = 8 << 30
"""Protects the machine: beyond it, allocations fail."""


@dataclass(frozen=True)
class Failure:
    """An input that was handled wrongly."""

    number: int
    seed: str
    reason: str


@dataclass
class Result:
    """The counts of a run."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0


def make_input(name: str, number: int, seed: int) -> tuple[str, bytes]:
    """Return the seed's name and the data of an input, which both follow from its number."""
    return _make_input(_Seeds(name), number, seed)


def run(
    name: str,
    *,
    seconds: float | None = None,
    inputs: int | None = None,
    first: int = 0,
    seed: int = 0,
    keep: Path | None = None,
) -> Result:
    """Run a target until its time or its number of inputs is over.

    Args:
        name: the target.
        seconds: how long to run.
        inputs: how many inputs to run; every seed is one, the others are mutated.
        first: number of the first input.
        seed: seed of all mutations. The same seed and number give the same input.
        keep: a folder for the inputs that fail.
    """
    result = Result()
    context = multiprocessing.get_context("spawn")
    deadline = None if seconds is None else time.monotonic() + seconds
    number = first
    while (inputs is None or number < first + inputs) and not _over(deadline):
        # After a failure that ended the process, a new one continues with the next input.
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, name, number, seed), daemon=True)
        process.start()
        there.close()
        for answer in _answers(here, process):
            result.inputs += 1
            _count(result, answer, number, name, seed, keep)
            number += 1
            if _over(deadline) or (inputs is not None and number >= first + inputs):
                break
        process.kill()
        process.join()
    return result


def _over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


@dataclass(frozen=True)
class _Answer:
    seed: str
    outcome: str | None
    failure: str | None
    seconds: float
    peak: int


def _answers(here: Connection, process: multiprocessing.process.BaseProcess) -> Iterator[_Answer]:
    """Yield answers until the worker dies or hangs, which is an answer too."""
    here.recv()  # The worker has imported everything.
    while True:
        if not here.poll(3 * MOST_SECONDS):
            yield _Answer("?", None, "hangs", 3 * MOST_SECONDS, 0)
            return
        try:
            answer = here.recv()
        except EOFError:
            process.join()
            code = process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield _Answer("?", None, f"ended the process ({name})", 0.0, 0)
            return
        yield answer


def _count(
    result: Result, answer: _Answer, number: int, name: str, seed: int, keep: Path | None
) -> None:
    result.slowest = max(result.slowest, answer.seconds)
    result.peak = max(result.peak, answer.peak)
    failure = answer.failure
    if failure is None and answer.seconds > MOST_SECONDS:
        failure = f"took {answer.seconds:.1f} s"
    if failure is None:
        result.outcomes[answer.outcome or "?"] += 1
        return
    label, data = make_input(name, number, seed)
    result.failures.append(Failure(number, label, failure))
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{name}-{seed}-{number}").write_bytes(data)


class _Seeds:
    def __init__(self, name: str) -> None:
        self.target = load_target(name)
        self.by_name = self.target.all_seeds()
        self.names = list(self.by_name)


def _make_input(seeds: _Seeds, number: int, seed: int) -> tuple[str, bytes]:
    label = seeds.names[number % len(seeds.names)]
    data = seeds.by_name[label]
    if number < len(seeds.names):
        return label, data
    draw = random.Random(f"{seed} {seeds.target.name} {number}")
    return label, seeds.target.mutate(data, label, draw)


def _work(there: Connection, name: str, number: int, seed: int) -> None:
    """Check inputs one after the other, and send an answer for each."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    seeds = _Seeds(name)
    there.send(None)
    idle = None
    while True:
        label, data = _make_input(seeds, number, seed)
        outcome = failure = None
        started = time.perf_counter()
        try:
            outcome = seeds.target.check(data, label)
        except DpsError as error:
            outcome = "refused"
            if any("\n" in line or not line.strip() for line in error.lines):
                failure = f"a message of several lines or none: {error}"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        seconds = time.perf_counter() - started
        peak = _peak_bytes()
        # The first input also loads libraries.
        idle = peak if idle is None else idle
        if peak - idle > MOST_BYTES:
            failure = failure or f"took {(peak - idle) / 2**20:.0f} MiB"
            idle = peak
        there.send(_Answer(label, outcome, failure, seconds, peak - idle))
        number += 1


def _peak_bytes() -> int:
    with contextlib.suppress(OSError):
        # Unlike the figure below, it does not start with that of the parent.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
