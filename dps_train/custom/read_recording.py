"""Read a recorded distortion from files.

A CSV file (UTF-8, paths relative to it) lists images before and after, and the strength of the
change. Several rows may share an image before; weak and strong changes together teach most:

    before,after,strength
    scans/1.png,scans/1-halftone-2.png,2
    scans/1.png,scans/1-halftone-4.png,4

A TOML file of the same name, halftone.toml beside halftone.csv, may describe the distortion.
Every key is optional:

    name = "halftone"        # used in rankings; default: the file's name
    unit = "screen, in pixels"
    range = [2, 8]           # strengths that scores are measured on; default: the middle 80 %
    threshold = 0.5          # a strength that is barely visible; default: half of the smallest
    reference = 4            # the strength whose amount is 1; default: the median
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.errors import DpsError, UsageError
from dps_infer.progress import track
from dps_train.custom.custom_distortion import CustomDistortion
from dps_train.custom.function import StrengthDistortion, strength_distortion
from dps_train.custom.recording import Recording, Scene
from dps_train.data.csv_rows import CsvRow, Problem, read_csv_rows, refuse_problems
from dps_train.data.sources import FEWEST_IMAGES, read_pixels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COLUMNS = ("before", "after", "strength")


@dataclass(frozen=True)
class _Row:
    number: int
    before: Path
    after: Path
    strength: float


class _Settings(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the TOML file."""

    name: str | None = None
    unit: str = "strength"
    range: tuple[float, float] | None = None
    threshold: float | None = None
    reference: float | None = None


def read_recording(path: Path) -> CustomDistortion:
    """Read a recorded distortion, and every image that its CSV file names.

    Raises:
        UsageError: the CSV file cannot be opened, or the TOML file is not valid.
        DataError: with every problem: columns, strengths, images missing or unreadable, sizes
            that differ within a pair, fewer than `FEWEST_IMAGES` images before.
    """
    rows, problems = _read_rows(path)
    images: dict[Path, Pixels] = {}
    for row in track(rows, "images before and after"):
        problems += [(row.number, text) for text in _load(row, images)]
    by_before: dict[Path, list[_Row]] = {}
    for row in rows:
        by_before.setdefault(row.before, []).append(row)
    if not problems and len(by_before) < FEWEST_IMAGES:
        problems.append(
            (
                rows[-1].number if rows else 1,
                f"ends {len(by_before)} different images before: training and holding some out "
                f"takes at least {FEWEST_IMAGES}",
            )
        )
    refuse_problems(path, problems)
    scenes = []
    for before, pairs in by_before.items():
        pairs.sort(key=lambda row: row.strength)
        after = tuple(images[row.after] for row in pairs)
        scenes.append(Scene(images[before], after, tuple(row.strength for row in pairs)))
    distortion = _describe(path, [row.strength for row in rows])
    return CustomDistortion(distortion, Recording(tuple(scenes)))


def _read_rows(path: Path) -> tuple[list[_Row], list[Problem]]:
    rows, problems = read_csv_rows(path, COLUMNS)
    if any(len(row.cells) < len(COLUMNS) for row in rows):
        # The missing column is reported once, not for each row.
        return [], problems
    read = [_row(path.parent, row) for row in rows]
    problems += [row for row in read if not isinstance(row, _Row)]
    return [row for row in read if isinstance(row, _Row)], problems


def _row(folder: Path, row: CsvRow) -> _Row | Problem:
    before, after, strength = (row.cells[name] for name in COLUMNS)
    if not (before and after and strength):
        return row.number, f"expected a value in each of {','.join(COLUMNS)}"
    try:
        value = float(strength)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        return row.number, f"strength is {strength!r}: expected a number above 0"
    return _Row(row.number, folder / before, folder / after, value)


def _load(row: _Row, images: dict[Path, Pixels]) -> list[str]:
    """Read the images of a row into `images`; return their problems."""
    problems = []
    for path in (row.before, row.after):
        if path in images:
            continue
        try:
            images[path] = read_pixels(path)
        except DpsError as error:
            problems.append(str(error))
    if not problems and images[row.before].shape != images[row.after].shape:
        first, second = (images[path].shape[1::-1] for path in (row.before, row.after))
        problems.append(
            f"{row.after} is {second[0]}x{second[1]} and {row.before} is {first[0]}x{first[1]} "
            "(width x height): expected equal sizes"
        )
    return problems


def _describe(path: Path, strengths: Sequence[float]) -> StrengthDistortion:
    """Return the distortion as the TOML file describes it; defaults come from the strengths."""
    settings = _read_settings(path.with_suffix(".toml"))
    low, high = np.quantile(strengths, [0.1, 0.9]).tolist()
    low, high = settings.range or (0.0 if low == high else low, high)
    median = float(np.median(strengths))
    return strength_distortion(
        path.stem.lower() if settings.name is None else settings.name,
        _cannot_apply,
        unit=settings.unit,
        range=(low, high),
        threshold=min(strengths) / 2 if settings.threshold is None else settings.threshold,
        reference=median if settings.reference is None else settings.reference,
        limit=max(high, *strengths),
        needs_original=True,
    )


def _read_settings(path: Path) -> _Settings:
    if not path.is_file():
        return _Settings()
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Settings)
    except (OSError, ValueError) as error:
        known = ", ".join(_Settings.__struct_fields__)
        raise UsageError(f"cannot read {path}: {error}; expected some of {known}") from None


def _cannot_apply(images: Tensor, parameters: Tensor) -> Tensor:
    raise AssertionError("a recorded distortion is applied to its scenes only")
