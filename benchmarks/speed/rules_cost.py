"""What rules per file cost a comparison of two folders: pairs a second with and without them.

Both sides compare the same files on one thread, and run alternately, so that other work on the
machine slows both alike. One has a single context for all; the other has a `dps.toml` with a table
for each of three contexts, in turns over the files so that no two neighbours share one, and tables
that match nothing. It takes from resolving the rules of every file to the last distance; contexts
are open before. A ratio is the median of the rounds, of CPU time and of wall time: decoding that
does not overlap computing shows in wall time alone. Beside them, the time to resolve alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import cv2
import msgspec
import typer

from benchmarks.shared.options import SeedOption
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from benchmarks.speed.throughput import write_pairs
from dps_infer.bulk.folder import score_folder
from dps_infer.bulk.folder_pairs import FolderPair, find_images, matching_pairs
from dps_infer.rules.book import RuleBook
from dps_infer.rules.file import read_rules
from dps_infer.rules.opened import OpenedRules

SIDES = (64, 256)
CONTEXTS = ("ui-regression", "print-inspection", "map-rendering")
TOP = 'context-name = "general"\nthreshold = 0.1\n'
WITHOUT, WITH = "one context for all", "three contexts, by glob"


class Speed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Pairs a second of CPU time of both sides at one size of images, and ratios of speed."""

    side: int
    without_rules: float
    with_rules: float
    cpu_ratio: float
    wall_ratio: float


class Figures(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Speed by size, and seconds to resolve the rules of many names."""

    pairs: int
    tables: int
    speed: list[Speed]
    names: int
    resolve_seconds: float


def measure(
    pairs: Annotated[int, typer.Option(min=3, help="Pairs to time.")] = 480,
    tables: Annotated[int, typer.Option(min=3, help="Tables of rules.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each side.")] = 5,
    names: Annotated[int, typer.Option(min=1, help="Names to resolve.")] = 5000,
    seed: SeedOption = 0,
) -> Measured:
    """Time both sides at each size."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        rules = {name: _opened(base, name, text) for name, text in _texts(tables).items()}
        write_pairs(base, pairs, seed)
        speed = [_speed(_folders(base, pairs, side), rules, side, rounds) for side in SIDES]
        begun = time.perf_counter()
        for number in range(names):
            rules[WITH].rule_of(base / "references" / f"{number}.png")
        seconds = time.perf_counter() - begun
    return Measured(
        Figures(pairs=pairs, tables=tables, speed=speed, names=names, resolve_seconds=seconds), {}
    )


def tables(figures: Figures) -> dict[str, Table]:
    """Return one table for the speed, and one for resolving."""
    rows = [
        (
            f"{row.side} x {row.side}",
            f"{row.without_rules:.1f}",
            f"{row.with_rules:.1f}",
            f"{row.cpu_ratio:.2f}",
            f"{row.wall_ratio:.2f}",
        )
        for row in figures.speed
    ]
    resolving = [(f"{figures.names}", f"{figures.tables}", f"{figures.resolve_seconds:.2f}")]
    return {
        "speed": Table(
            ("pixels", f"pairs a second, {WITHOUT}", WITH, "ratio", "of wall time"),
            rows,
            f"{figures.pairs} pairs, {figures.tables} tables",
        ),
        "resolving": Table(("files", "tables", "seconds to resolve"), resolving),
    }


def _texts(tables: int) -> dict[str, str]:
    """Return the rules of both sides."""
    parts = [TOP]
    for number, context in enumerate(CONTEXTS):
        digits = "".join(str(digit) for digit in range(10) if digit % len(CONTEXTS) == number)
        parts.append(f'[[files]]\nglob = "*[{digits}].png"\ncontext-name = "{context}"\n')
    parts += [
        f'[[files]]\nglob = ["other/{number}/**", "**/x{number}*.webp"]\nthreshold = {number}\n'
        for number in range(tables - len(CONTEXTS))
    ]
    return {WITHOUT: TOP, WITH: "\n".join(parts)}


def _opened(folder: Path, name: str, text: str) -> OpenedRules:
    path = folder / name / "dps.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return OpenedRules(RuleBook(read_rules(path)), device="cpu", threads=1)


def _folders(base: Path, pairs: int, side: int) -> tuple[FolderPair, ...]:
    """Write the pairs at a size into two folders."""
    folders = [base / f"{side}" / name for name in ("references", "candidates")]
    for folder, name in zip(folders, ("reference", "candidate"), strict=True):
        folder.mkdir(parents=True)
        for number in range(pairs):
            pixels = cv2.imread(str(base / f"{number}-{name}.png"))
            smaller = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{number}.png"), smaller)
    return matching_pairs(*map(find_images, folders))


def _speed(
    pairs: tuple[FolderPair, ...], rules: dict[str, OpenedRules], side: int, rounds: int
) -> Speed:
    cpu: dict[str, list[float]] = {name: [] for name in rules}
    wall: dict[str, list[float]] = {name: [] for name in rules}
    for turn in range(rounds + 1):
        for name, opened in rules.items():
            begun = time.process_time(), time.perf_counter()
            _run(pairs, opened)
            # The first turn opens the contexts, and does not count.
            if turn:
                cpu[name].append(time.process_time() - begun[0])
                wall[name].append(time.perf_counter() - begun[1])
    return Speed(
        side=side,
        without_rules=len(pairs) / statistics.median(cpu[WITHOUT]),
        with_rules=len(pairs) / statistics.median(cpu[WITH]),
        cpu_ratio=_ratio(cpu),
        wall_ratio=_ratio(wall),
    )


def _ratio(seconds: dict[str, list[float]]) -> float:
    """Return the median over the rounds of the speed with rules over that without."""
    both = zip(seconds[WITHOUT], seconds[WITH], strict=True)
    return statistics.median(without / ruled for without, ruled in both)


def _run(pairs: tuple[FolderPair, ...], opened: OpenedRules) -> None:
    """Compare as the command does."""
    ruled = {pair.reference: opened.rule_of(pair.reference) for pair in pairs}
    used = list(dict.fromkeys(ruled.values()))
    scores = score_folder(
        pairs,
        len(pairs),
        opened.metrics,
        worst=50,
        rules=used,
        rule_of=lambda pair: ruled[pair.reference],
    )
    if scores.failed:
        raise RuntimeError(scores.failed[0].error)
