"""BAPPS, the human judgements of LPIPS (Zhang et al. 2018), in its published folder layout.

``2afc/{train,val}/<split>/{ref,p0,p1}/*.png`` with ``judge/*.npy``: triplets, and the share
of people to whom p1 was closer. ``jnd/val/<split>/{p0,p1}/*.png`` with ``same/*.npy``:
pairs, and the share of people who took both images for the same. One name, one example.
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
    """Pairs of which people were asked whether they are the same; images stay on disk.

    Attributes:
        source: what to call them.
        p0: image files.
        p1: image files, each of the size of its partner.
        same: the share of people who said yes, in [0, 1].
    """

    source: str
    p0: tuple[Path, ...]
    p1: tuple[Path, ...]
    same: tuple[float, ...]


@dataclass(frozen=True)
class Bapps:
    """One part of BAPPS, by split.

    Attributes:
        two_afc: triplets.
        jnd: pairs that are just noticeably different, or not.
    """

    two_afc: dict[str, Triplets]
    jnd: dict[str, SamePairs]

    def all_triplets(self) -> Triplets:
        """Return the triplets of all splits as one."""
        splits = self.two_afc.values()
        return Triplets(
            "bapps",
            reference=tuple(path for split in splits for path in split.reference),
            p0=tuple(path for split in splits for path in split.p0),
            p1=tuple(path for split in splits for path in split.p1),
            judge=tuple(value for split in splits for value in split.judge),
        )


def read_bapps(folder: Path, part: str = VAL) -> Bapps:
    """Read all names and judgements of a part; the images are read when they are used.

    Args:
        folder: the one that holds ``2afc`` and ``jnd``. Of `VAL`, one of both may be missing.
        part: `TRAIN`, which has triplets only, or `VAL`.

    Raises:
        UsageError: there is no such folder.
        DataError: with every problem: folders or files that are missing, judgements that are
            none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: expected BAPPS, with the folders 2afc and jnd")
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
    """Return the folders of the splits, none where there is no such part."""
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
        problems.append(f"{folder}: expected as many files, of one name, in each: {counts}{first}")
        return [() for _ in images], ()
    values = tuple(_read_judgement(files[judgements][name], problems) for name in names)
    return [tuple(files[kind][name] for name in names) for kind in images], values


def _files(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Return the files of these kinds by their names without suffix."""
    return {
        path.stem: path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    }


def _read_judgement(path: Path, problems: list[str]) -> float:
    """Return the one number of a file; NaN, and a problem more, where it holds none in [0, 1]."""
    try:
        data = read_bytes(path, expected="a judgement", limit=MEBIBYTE, error=DpsError)
        value = float(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False).item())
    except DpsError as error:
        problems.append(str(error))
        return float("nan")
    except (ValueError, TypeError, MemoryError):
        value = float("nan")
    if not 0 <= value <= 1:
        problems.append(f"{path}: expected a NumPy file of one number from 0 to 1")
    return value
