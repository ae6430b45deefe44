"""Pairs from folders: files with the same relative path in two folders, or every two files of one.

Files are images by their suffix (`SUFFIXES`, in any case), or by their first bytes. Both include
formats that cannot be read here, so that such a file is reported as an error instead of being
skipped. Other files, and those whose name or folder begins with a dot, are skipped and listed.
Folders are searched recursively, linked folders as well, each one once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePath

from dps_infer.compare.stream import PairSource
from dps_infer.errors import DpsError, ImageError, UsageError
from dps_infer.images.headers import STARTS, begins_as_image

READ = (
    ".bmp",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
NOT_READ = (".avif", ".exr", ".gif", ".hdr", ".heic", ".heif", ".jp2", ".jxl", ".pam", ".pfm")
SUFFIXES = frozenset([*READ, *NOT_READ])


@dataclass(frozen=True)
class FolderImages:
    """The images in a folder.

    Attributes:
        folder: the folder.
        files: the paths of the images relative to the folder, sorted.
        left_out: the other files, sorted: hidden ones, and those that are no images.
    """

    folder: Path
    files: tuple[PurePath, ...]
    left_out: tuple[PurePath, ...]


@dataclass(frozen=True)
class FolderPair:
    """Two images to compare, or one without a counterpart.

    Attributes:
        reference: the first file; it may not exist.
        candidate: the second file; it may not exist.
        missing: which of them does not exist, in one line; empty if both do.
    """

    reference: Path
    candidate: Path
    missing: str = ""

    @property
    def source(self) -> PairSource:
        """The pair in the form that `dps_infer.compare.stream.score` takes."""
        return DpsError(self.missing) if self.missing else (self.reference, self.candidate)


def find_images(folder: str | os.PathLike[str]) -> FolderImages:
    """Find the images in a folder, recursively.

    Raises:
        ImageError: a folder is missing or cannot be read, or there is no image.
    """
    folder = Path(folder)
    files: list[PurePath] = []
    left_out: list[PurePath] = []
    for file in _walk(folder):
        hidden = any(part.startswith(".") for part in file.parts)
        if not hidden and (file.suffix.lower() in SUFFIXES or _begins_as_image(folder / file)):
            files.append(file)
        else:
            left_out.append(file)
    if not files:
        raise ImageError(f"{folder}: has no images, expected files like a.png or b/c.jpg")
    return FolderImages(folder, tuple(sorted(files)), tuple(sorted(left_out)))


def matching_pairs(
    reference: FolderImages, candidate: FolderImages, *, any_suffix: bool = False
) -> tuple[FolderPair, ...]:
    """Pair the files of two folders by their relative paths.

    Args:
        reference: the first folder.
        candidate: the second folder.
        any_suffix: ignore suffixes: ``a/b.png`` and ``a/b.jpg`` are a pair.

    Returns:
        The pairs, and files without a counterpart, sorted by relative path.

    Raises:
        UsageError: two files of one folder differ only in the suffix that is ignored.
    """
    firsts, seconds = (_by_key(found, any_suffix) for found in (reference, candidate))
    pairs = []
    for key in sorted({*firsts, *seconds}):
        first, second = firsts.get(key), seconds.get(key)
        file = first or second or key
        missing = ""
        if first is None or second is None:
            there, lacks = reference.folder, candidate.folder
            if first is None:
                there, lacks = lacks, there
            missing = f"{file}: is in {there}, but has no counterpart in {lacks}"
        pairs.append(
            FolderPair(reference.folder / file, candidate.folder / (second or file), missing)
        )
    return tuple(pairs)


def all_pairs(found: FolderImages) -> tuple[int, Iterator[FolderPair]]:
    """Pair every file of a folder with every later one.

    Returns:
        The number of pairs, and the pairs; those with the same reference are adjacent.

    Raises:
        UsageError: there is only one file.
    """
    count = len(found.files)
    if count < 2:
        raise UsageError(f"{found.folder}: has one image, expected at least two to compare")
    pairs = combinations((found.folder / file for file in found.files), 2)
    return count * (count - 1) // 2, (FolderPair(first, second) for first, second in pairs)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, relative to it."""
    seen: set[tuple[int, int]] = set()
    for here, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        status = os.stat(here)
        # A link may lead back to a folder that contains it.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(here, name).relative_to(folder) for name in files)


def _begins_as_image(path: Path) -> bool:
    # Pipes and devices might never answer.
    if not path.is_file():
        return False
    with suppress(OSError), path.open("rb") as stream:
        return begins_as_image(stream.read(STARTS))
    return False


def _refuse(error: OSError) -> None:
    """Raise the error of a folder that cannot be searched."""
    reasons = {
        FileNotFoundError: "no such folder, expected one with images",
        NotADirectoryError: "is a file, expected a folder with images",
    }
    reason = reasons.get(type(error), f"cannot be read ({error.strerror or error})")
    raise ImageError(f"{error.filename}: {reason}") from None


def _by_key(found: FolderImages, any_suffix: bool) -> dict[PurePath, PurePath]:
    """Return the files of a folder by their path, with or without the suffix."""
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
