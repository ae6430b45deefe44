"""Helpers of the readers of published layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dps_infer.errors import UsageError
from dps_train.data.sources import SUFFIXES


def check_parts(folder: Path, layout: str, mark: str, parts: Sequence[str]) -> None:
    """Refuse a folder that has the mark of a layout and lacks other parts of it.

    Raises:
        UsageError: names every part that is missing.
    """
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        raise UsageError(
            f"{folder} has {mark} and is read as {layout}, but lacks the "
            f"folder{'s' * (len(missing) > 1)} {' and '.join(missing)}: expected the set as it is "
            "published"
        )


def images_by_stem(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the images in folders and below by their names in lower case, without suffix.

    Copies of a set differ in the case of file names, and some are converted to PNG.
    """
    return {
        path.stem.lower(): path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    }


def named_image(images: Mapping[str, Path], folder: Path, name: str) -> Path:
    """Return the image that a table names; a path in `folder` that does not exist if none is."""
    return images.get(Path(name).stem.lower(), folder / name)
