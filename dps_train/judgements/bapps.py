"""BAPPS, the judgements of LPIPS (Zhang et al. 2018), in its published folder layout.

``2afc/{train,val}/<split>/{ref,p0,p1}/*.png`` with ``judge/*.npy``: triplets, and the share of
people to whom p1 was closer. ``jnd/val/<split>/{p0,p1}/*.png`` with ``same/*.npy``: pairs, and
the share of people who found both images the same. The files of an example have one name.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dps_infer.errors import DataError, DpsError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_train.data.sources import SUFFIXES
from dps_train.judgements.triplets import Triplets

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class SamePairs:
    """Pairs p0 and p1 of equal size, and the share of people in [0, 1] who found them the same.

    `source` is a name for messages; images stay on disk.
    """

    source: str
    p0: tuple[Path, ...]
    p1: tuple[Path, ...]
    same: tuple[float, ...]


@dataclass(frozen=True)
class Bapps:
    """The triplets (`two_afc`) and pairs (`jnd`) of a part of BAPPS, by split."""

    two_afc: dict[str, Triplets]
    jnd: dict[str, SamePairs]

    def all_triplets(self) -> Triplets:
        """Return the triplets of all splits together."""
        splits = self.two_afc.values()
        return Triplets(
            "bapps",
            reference=tuple(path for split in splits for path in split.reference),
            p0=tuple(path for split in splits for path in split.p0),
            p1=tuple(path for split in splits for path in split.p1),
            judge=tuple(value for split in splits for value in split.judge),
        )


def read_bapps(folder: Path, part: str = VAL) -> Bapps:
    """Read all file names and judgements of a part; images are read when they are used.

    `folder` holds ``2afc`` and ``jnd``; one may be missing in `VAL`, and `TRAIN` has triplets only.

    Raises:
        UsageError: there is no such folder.
        DataError: with every problem: missing folders or files, invalid judgements.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: expected BAPPS, with the folders 2afc and jnd")
    problems: list[str] = []
    two_afc: dict[str, Triplets] = {}
    jnd: dict[str, SamePairs] = {}
    for split in _splits(folder / "2afc" / part, problems):
        (reference, p0, p1), judge = _read_split(split, ("ref", "p0", "p1"), "judge", problems)
        two_afc[split.name] = Triplets(f"bapps 2afc {split.name}", reference, p0, p1, judge)
    if part == VAL:
        for split in _splits(folder / "jnd" / part, problems):
            (p0, p1), same = _read_split(split, ("p0", "p1"), "same", problems)
            jnd[split.name] = SamePairs(f"bapps jnd {split.name}", p0, p1, same)
    if not (two_afc or jnd or problems):
        expected = f"{folder / '2afc' / part}" + f" or {folder / 'jnd' / part}" * (part == VAL)
        problems.append(f"{folder}: no {expected}: expected BAPPS in its published layout")
    if problems:
        raise DataError(problems)
    return Bapps(two_afc, jnd)


def _splits(folder: Path, problems: list[str]) -> list[Path]:
    """Return the folders of the splits; none if the part is missing."""
    if not folder.is_dir():
        return []
    splits = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not splits:
        problems.append(f"{folder} is empty: expected folders such as traditional and cnn")
    return splits


def _read_split(
    folder: Path, images: Sequence[str], judgements: str, problems: list[str]
) -> tuple[list[tuple[Path, ...]], tuple[float, ...]]:
    """Return the files of each kind of image, and the judgements, in the order of the names."""
    kinds = (*images, judgements)
    missing = [folder / kind for kind in kinds if not (folder / kind).is_dir()]
    problems += [f"{path}: no such folder, expected {', '.join(kinds)}" for path in missing]
    if missing:
        return [() for _ in images], ()
    files = {
        kind: _files(folder / kind, {".npy"} if kind == judgements else SUFFIXES) for kind in kinds
    }
    names = sorted(set().union(*files.values()))
    lacking = [name for name in names if any(name not in files[kind] for kind in kinds)]
    if lacking or not names:
        counts = ", ".join(f"{len(files[kind])} in {kind}" for kind in kinds)
        first = f"; {lacking[0]} is not in all of them" if lacking else ""
        problems.append(f"{folder}: expected files of the same names in each: {counts}{first}")
        return [() for _ in images], ()
    values = tuple(_read_judgement(files[judgements][name], problems) for name in names)
    return [tuple(files[kind][name] for name in names) for kind in images], values


def _files(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Return the files with these suffixes by their names without suffix."""
    return {
        path.stem: path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    }


def _read_judgement(path: Path, problems: list[str]) -> float:
    """Return the number in a file; if it is not one in [0, 1], add a problem."""
    value = float("nan")
    try:
        data = read_bytes(path, expected="a judgement", limit=MEBIBYTE, error=DpsError)
        value = float(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False).item())
    except DpsError as error:
        problems.append(str(error))
        return value
    except (ValueError, TypeError, MemoryError):
        pass
    if not 0 <= value <= 1:
        problems.append(f"{path}: expected a NumPy file of one number from 0 to 1")
    return value
