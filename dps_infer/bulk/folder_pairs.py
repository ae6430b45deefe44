"""Pairs from folders: files of the same relative path in two, or every two files of one.

Which files count is told by their suffixes: those of `SUFFIXES`, in any case. Among them
are formats that are not read here: a file of such a name is an error, not an absence.
Other files, and all whose name (or whose folder's name) begins with a dot, are left out
and counted. Folders are searched to any depth, links to folders too, each folder once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePath

from dps_infer.compare.stream import PairSource
from dps_infer.errors import DpsError, ImageError, UsageError

READ = (".bmp", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff")
NOT_READ = (".avif", ".exr", ".gif", ".hdr", ".heic", ".heif", ".jp2", ".jxl", ".pam", ".pfm")
SUFFIXES = frozenset([*READ, ".webp", *NOT_READ])


@dataclass(frozen=True)
class Found:
    """The images in a folder.

    Attributes:
        folder: where they are.
        files: their paths in it, sorted.
        left_out: how many other files there are.
    """

    folder: Path
    files: tuple[PurePath, ...]
    left_out: int


@dataclass(frozen=True)
class FolderPair:
    """Two images to compare, or one whose counterpart is missing.

    Attributes:
        reference: the first file, there or not.
        candidate: the second file, there or not.
        missing: why there is no pair, in one line; empty if there is one.
    """

    reference: Path
    candidate: Path
    missing: str = ""

    @property
    def source(self) -> PairSource:
        """The pair as `dps_infer.compare.stream.score` takes it."""
        return DpsError(self.missing) if self.missing else (self.reference, self.candidate)


def find_images(folder: str | os.PathLike[str]) -> Found:
    """Find the images in a folder and the folders in it.

    Raises:
        ImageError: a folder is missing or cannot be read, or there is no image.
    """
    folder = Path(folder)
    files: list[PurePath] = []
    left_out = 0
    for path, inside in _walk(folder):
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and path.suffix.lower() in SUFFIXES:
            files.append(inside)
        else:
            left_out += 1
    if not files:
        raise ImageError(f"{folder}: has no images, expected files like a.png or b/c.jpg")
    return Found(folder, tuple(sorted(files)), left_out)


def matching_pairs(
    reference: Found, candidate: Found, *, any_suffix: bool = False
) -> tuple[FolderPair, ...]:
    """Pair the files of two folders by their relative paths.

    Args:
        reference: the first folder.
        candidate: the second folder.
        any_suffix: leave suffixes out of it: ``a/b.png`` and ``a/b.jpg`` are a pair.

    Returns:
        Sorted by relative path; files without a counterpart are among them, as such.

    Raises:
        UsageError: without their suffixes, two files of one folder have the same path.
    """
    firsts, seconds = (_by_key(found, any_suffix) for found in (reference, candidate))
    pairs = []
    for key in sorted({*firsts, *seconds}):
        first, second = firsts.get(key), seconds.get(key)
        missing = ""
        if first is None or second is None:
            there, lacks = reference.folder, candidate.folder
            if first is None:
                there, lacks = lacks, there
            missing = f"{first or second}: is in {there}, but has no counterpart in {lacks}"
        pairs.append(
            FolderPair(
                reference.folder / (first or second or key),
                candidate.folder / (second or first or key),
                missing,
            )
        )
    return tuple(pairs)


def all_pairs(found: Found) -> tuple[int, Iterator[FolderPair]]:
    """Pair every file of a folder with every later one.

    Returns:
        How many pairs there are, and the pairs; those of one reference are neighbours.

    Raises:
        UsageError: there is only one file.
    """
    count = len(found.files)
    if count < 2:
        raise UsageError(f"{found.folder}: has one image, expected at least two to compare")
    pairs = combinations((found.folder / file for file in found.files), 2)
    return count * (count - 1) // 2, (FolderPair(first, second) for first, second in pairs)


def _walk(folder: Path) -> Iterator[tuple[Path, PurePath]]:
    """Yield every file under a folder, with its path in it."""
    seen: set[tuple[int, int]] = set()

    def enter(inside: PurePath) -> Iterator[tuple[Path, PurePath]]:
        here = folder / inside
        try:
            status = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except FileNotFoundError:
            raise ImageError(f"{here}: no such folder, expected one with images") from None
        except NotADirectoryError:
            raise ImageError(f"{here}: is a file, expected a folder with images") from None
        except OSError as error:
            raise ImageError(f"{here}: cannot be read ({error.strerror or error})") from None
        # A link may lead back to where it lies.
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.is_dir():
                yield from enter(inside / entry.name)
            else:
                yield Path(entry.path), inside / entry.name

    return enter(PurePath())


def _by_key(found: Found, any_suffix: bool) -> dict[PurePath, PurePath]:
    """Return the files of a folder by what they are paired by."""
    if not any_suffix:
        return {file: file for file in found.files}
    keys = [file.with_suffix("") for file in found.files]
    (key, count) = Counter(keys).most_common(1)[0]
    if count > 1:
        raise UsageError(
            f"{found.folder}: {key} stands for {count} files that differ in their suffixes only: "
            "pair them with their suffixes"
        )
    return dict(zip(keys, found.files, strict=True))
