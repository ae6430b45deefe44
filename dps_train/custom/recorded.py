"""A distortion from images before and after it, which something else than Python made.

A CSV file (UTF-8, paths relative to it) lists the pairs and how strong the change is:

    before,after,strength
    scans/1.png,scans/1-halftone-2.png,2
    scans/1.png,scans/1-halftone-4.png,4

Of each image before there may be several after, best of weak and strong changes. A TOML file
of the same name, halftone.toml beside halftone.csv, may say what else there is to say (every
key is optional):

    name = "halftone"        # the word that people rank it by; else the file's name
    unit = "screen, in pixels"
    range = [2, 8]           # strengths that scores are measured on; else the middle 80 %
    threshold = 0.5          # a strength that is barely visible; else half of the smallest
    reference = 4            # at which the amount is 1; else the median

As nothing can be changed anew, training and measuring take the pairs as they are: at a wanted
strength, the pair whose strength is closest. Training looks at parts of them, shrunk and at their
own resolution. What shrinking takes away of a change, it takes away of the amount as well; and a
distortion that is lost when whole images are shrunk is measured on their middles.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dps_infer.errors import DataError, DpsError, UsageError
from dps_infer.progress import track
from dps_train.custom.function import OwnDistortion, described
from dps_train.data.batches import Window, cut, draw_window
from dps_train.data.sources import FEWEST_IMAGES, HELD_OUT_SHARE, Image, read_pixels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COLUMNS = ("before", "after", "strength")
SETTINGS = ("name", "unit", "range", "threshold", "reference")

NATIVE_SHARE = 0.5
"""Of training crops that keep an image's own resolution, which tiles see."""

LOST = 0.5
"""A distortion of which less is left in whole images, shrunk, is measured on their middles."""


@dataclass(frozen=True)
class Scene:
    """An image before, and what became of it at rising strengths.

    Attributes:
        before: uint8 RGB [H, W, 3].
        after: likewise, one a strength.
        strengths: >= 0.
    """

    before: Image
    after: tuple[Image, ...]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Recorded:
    """Scenes, and what the distortion that they show is called and measured by."""

    about: OwnDistortion
    scenes: tuple[Scene, ...]

    def split(self, generator: torch.Generator) -> tuple[Recorded, Recorded]:
        """Return scenes to train on, and held-out ones."""
        order = torch.randperm(len(self.scenes), generator=generator).tolist()
        count = max(1, round(HELD_OUT_SHARE * len(order)))
        held_out, training = sorted(order[:count]), sorted(order[count:])
        return self._some(training), self._some(held_out)

    def shown(self, size: int) -> Shown:
        """Show every scene once: shrunk as a whole, or the middle, where shrinking loses it."""
        scenes = [_shown(scene, _all_of(scene.before), size) for scene in self.scenes]
        if torch.cat([kept for *_, kept in scenes]).median() < LOST:
            scenes = [_shown(scene, _middle_of(scene.before, size), size) for scene in self.scenes]
        befores, afters, kept = zip(*scenes, strict=True)
        strengths = [torch.tensor(scene.strengths) for scene in self.scenes]
        return Shown(torch.cat(befores), [*afters], strengths, [torch.ones_like(k) for k in kept])

    def crops(self, count: int, size: int, generator: torch.Generator) -> Shown:
        """Show parts of randomly drawn scenes: half shrunk, half at their own resolution."""
        chosen = torch.randint(len(self.scenes), (count,), generator=generator).tolist()
        native = (torch.rand(count, generator=generator) < NATIVE_SHARE).tolist()
        scenes = [
            _shown(
                self.scenes[number],
                draw_window(self.scenes[number].before, generator, side=size if at_own else None),
                size,
            )
            for number, at_own in zip(chosen, native, strict=True)
        ]
        befores, afters, kept = zip(*scenes, strict=True)
        strengths = [torch.tensor(self.scenes[number].strengths) for number in chosen]
        return Shown(torch.cat(befores), [*afters], strengths, [*kept])

    def _some(self, numbers: Sequence[int]) -> Recorded:
        return Recorded(self.about, tuple(self.scenes[number] for number in numbers))


@dataclass(frozen=True)
class Shown:
    """Scenes at one size.

    Attributes:
        before: float RGB [S, 3, size, size] in [0, 1].
        after: of each scene [A, 3, size, size].
        strengths: of each scene, rising [A].
        kept: what is left of each change at this size, from 0 to 1 [A].
    """

    before: Tensor
    after: list[Tensor]
    strengths: list[Tensor]
    kept: list[Tensor]


def _shown(scene: Scene, window: Window, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Show a part of a scene: before [1, 3, size, size], after [A, ...], what is kept [A]."""
    before = cut(scene.before, window, size)
    after = torch.cat([cut(image, window, size) for image in scene.after])
    rows, columns = window.slices
    part = scene.before[rows, columns].astype(np.float32) / 255
    there_was = torch.tensor(
        [
            float(np.sqrt(np.mean(np.square(image[rows, columns] / np.float32(255) - part))))
            for image in scene.after
        ]
    )
    is_left = (after - before).square().mean(dim=(1, 2, 3)).sqrt()
    return before, after, (is_left / there_was.clamp(min=1e-6)).clamp(max=1)


def _all_of(image: Image) -> Window:
    height, width = image.shape[:2]
    return Window(0, 0, height, width, mirrored=False)


def _middle_of(image: Image, side: int) -> Window:
    height, width = (min(side, length) for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return Window(top, left, height, width, mirrored=False)


@dataclass(frozen=True, kw_only=True)
class ShownDistortion(OwnDistortion):
    """A recorded distortion of a batch of images [N, ...], some of which are shown scenes.

    Parameters [N, 2] always stand for the whole batch: strengths that there are, NaN for images
    that no scene shows.

    Attributes:
        shown: the scenes.
        first: the row of the batch that is the first of them; the others follow.
    """

    shown: Shown
    first: int

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw from the strengths that there are, close to uniformly from the range."""
        return self._snapped(super().sample(count, generator))

    def with_strength(self, strength: Tensor, direction: Tensor) -> Tensor:
        """Return the strengths that there are, closest to those wanted."""
        return self._snapped(super().with_strength(strength, direction))

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return what became of the scenes; other images, and what is NaN, stay as they are."""
        changed = images.clone()
        for row, number in self._chosen(parameters):
            changed[row] = self.shown.after[row - self.first][number].to(changed)
        return changed

    def amount(self, parameters: Tensor) -> Tensor:
        """Return the amounts [N], less what shrinking takes away."""
        amounts = super().amount(parameters)
        for row, number in self._chosen(parameters):
            amounts[row] *= self.shown.kept[row - self.first][number]
        return amounts

    def _snapped(self, parameters: Tensor) -> Tensor:
        snapped = torch.full_like(parameters, torch.nan)
        wanted = torch.log1p(parameters[:, 0] / self.threshold)
        for row, strengths in enumerate(self.shown.strengths, self.first):
            there = torch.log1p(strengths / self.threshold)
            snapped[row] = strengths[(there - wanted[row]).abs().argmin()]
        return snapped

    def _chosen(self, parameters: Tensor) -> Iterator[tuple[int, int]]:
        """Yield the row of each scene, and the number of its image of that strength."""
        for row, strengths in enumerate(self.shown.strengths, self.first):
            same = (strengths == parameters[row, 0]).nonzero()[:, 0]
            if len(same):
                yield row, int(same[0])


def shown_distortion(about: OwnDistortion, shown: Shown, *, first: int = 0) -> ShownDistortion:
    """Return the distortion of a batch whose rows from `first` on are the scenes shown."""
    fields = {field.name: getattr(about, field.name) for field in dataclasses.fields(about)}
    return ShownDistortion(**fields, shown=shown, first=first)


def read_recorded(path: Path) -> Recorded:
    """Read a CSV file of images before and after a distortion, and every image that it names.

    Raises:
        UsageError: there is no such file, or the file beside it contradicts itself.
        DataError: with every problem: columns, strengths, images missing or unreadable, sizes
            that differ within a pair, fewer than `FEWEST_IMAGES` images before.
    """
    rows, problems = _read_rows(path)
    images: dict[Path, Image] = {}
    for row in track(rows, "images before and after"):
        problems += [(row.number, text) for text in _load(row, images)]
    if not problems and len({row.before for row in rows}) < FEWEST_IMAGES:
        problems.append(
            (
                rows[-1].number if rows else 1,
                f"ends {len({row.before for row in rows})} different images before: training and "
                f"holding some out takes at least {FEWEST_IMAGES}",
            )
        )
    if problems:
        problems.sort(key=lambda problem: problem[0])
        raise DataError([f"{path} row {number}: {text}" for number, text in problems])
    by_before: dict[Path, list[_Row]] = {}
    for row in rows:
        by_before.setdefault(row.before, []).append(row)
    scenes = []
    for before, some in by_before.items():
        some.sort(key=lambda row: row.strength)
        scenes.append(
            Scene(
                images[before],
                tuple(images[row.after] for row in some),
                tuple(row.strength for row in some),
            )
        )
    return Recorded(_about(path, [row.strength for row in rows]), tuple(scenes))


@dataclass(frozen=True)
class _Row:
    number: int
    before: Path
    after: Path
    strength: float


Problem = tuple[int, str]
"""The row that it is in, and what it is."""


def _read_rows(path: Path) -> tuple[list[_Row], list[Problem]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            if sorted(names) != sorted(COLUMNS):
                return [], [(1, f"has the columns {','.join(names)}: expected {','.join(COLUMNS)}")]
            reader.fieldnames = names
            read = [_row(path.parent, number, row) for number, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"cannot read {path}: {error}; expected a CSV file with the columns {','.join(COLUMNS)}"
        ) from None
    rows = [row for row in read if isinstance(row, _Row)]
    return rows, [row for row in read if not isinstance(row, _Row)]


def _row(folder: Path, number: int, row: dict[str, str]) -> _Row | Problem:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    missing = [name for name, value in values.items() if not value]
    if missing or None in row:
        return number, f"expected a value in each of {','.join(COLUMNS)}"
    try:
        strength = float(values["strength"])
    except ValueError:
        strength = math.nan
    if not (math.isfinite(strength) and strength > 0):
        return number, f"strength is {values['strength']!r}: expected a number above 0"
    return _Row(number, folder / values["before"], folder / values["after"], strength)


def _load(row: _Row, images: dict[Path, Image]) -> list[str]:
    """Read the images of a row into `images`; return what is wrong with them."""
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
            f"{row.after} is of {second[0]}x{second[1]} pixels, and {row.before} of "
            f"{first[0]}x{first[1]}: expected equal sizes"
        )
    return problems


def _about(path: Path, strengths: Sequence[float]) -> OwnDistortion:
    """Return what the distortion is called and measured by, from the file beside it or guessed."""
    said = _settings(path.with_suffix(".toml"))
    low, high = np.quantile(strengths, [0.1, 0.9]).tolist()
    if low == high:
        low = 0.0
    range_ = said.get("range", (low, high))
    if not (isinstance(range_, Sequence) and len(range_) == 2):
        raise UsageError(f"{path.with_suffix('.toml')}: expected range = [low, high]")
    numbers: list[float] = []
    for value in (
        *range_,
        said.get("threshold", min(strengths) / 2),
        said.get("reference", float(np.median(strengths))),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"{path.with_suffix('.toml')}: {value!r} is no number")
        numbers.append(float(value))
    low, high, threshold, reference = numbers
    return described(
        str(said.get("name", path.stem.lower())),
        unit=str(said.get("unit", "strength")),
        range=(low, high),
        threshold=threshold,
        reference=reference,
        limit=max(high, *strengths),
        apply=_cannot_apply,
        needs_original=True,
    )


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    for key in said:
        if key not in SETTINGS:
            raise UsageError(f"{path} says {key}: expected some of {', '.join(SETTINGS)}")
    return said


def _cannot_apply(images: Tensor, parameters: Tensor) -> Tensor:
    raise AssertionError("a recorded distortion is applied where its scenes are shown")
